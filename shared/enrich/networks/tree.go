package networks

import (
	"errors"
	"fmt"
)

// maxLeaves bounds the walk over a tree, its gaps and the places where IPv4 is repeated
// in IPv6 included.
const maxLeaves = 8 * MaxNetworks

// checkTree tells whether a walk over the search tree of a MaxMind DB comes to an end in
// time. A damaged tree may go round, or share its parts so that 100 nodes make 2⁹⁶
// paths, all of them empty: the library walks them in silence. Each node is looked at
// once, so this costs some nanoseconds for each of them.
//
// The tree is count nodes of two records of bits bits (24, 28 or 32), left and right. A
// record below count is a node, count itself is a gap, above it is data.
func checkTree(data []byte, count, bits int) error {
	size := bits / 4
	if bits != 24 && bits != 28 && bits != 32 || count < 1 || count > len(data)/size {
		return errors.New("its search tree does not fit in it")
	}
	child := func(node, side int) int64 {
		n := data[node*size : node*size+size]
		switch {
		case bits == 24:
			n = n[3*side:]
			return int64(n[0])<<16 | int64(n[1])<<8 | int64(n[2])
		case bits == 32:
			n = n[4*side:]
			return int64(n[0])<<24 | int64(n[1])<<16 | int64(n[2])<<8 | int64(n[3])
		case side == 0:
			return int64(n[3]>>4)<<24 | int64(n[0])<<16 | int64(n[1])<<8 | int64(n[2])
		default:
			return int64(n[3]&15)<<24 | int64(n[4])<<16 | int64(n[5])<<8 | int64(n[6])
		}
	}
	const (
		fresh = 0
		busy  = -1
	)
	leaves := make([]int32, count) // below each node; fresh or busy until they are known
	path := []int{0}               // the nodes that are being counted; at most as deep as an address is long
	for len(path) > 0 {
		node := path[len(path)-1]
		leaves[node] = busy
		sum, waits := 0, false
		for side := range 2 {
			c := child(node, side)
			switch {
			case c >= int64(count):
				sum++
			case leaves[c] == busy:
				return errors.New("its search tree goes round")
			case leaves[c] == fresh:
				if len(path) >= 128 {
					return errors.New("its search tree is deeper than an address")
				}
				path = append(path, int(c))
				waits = true
			default:
				sum += int(leaves[c])
			}
			if waits {
				break
			}
		}
		if waits {
			continue
		}
		if sum > maxLeaves {
			return fmt.Errorf("its search tree has more than %d leaves", maxLeaves)
		}
		leaves[node] = int32(sum)
		path = path[:len(path)-1]
	}
	return nil
}
