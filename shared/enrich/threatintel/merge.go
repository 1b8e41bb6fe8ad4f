package threatintel

// column is one family's part of a table.
type column[A address] struct {
	table *Table
	from  []A
	first int // the row of the table at which it begins
}

// bits returns a row's width as a Set sees it.
func (c column[A]) bits(i int) uint8 { return min(c.table.bits[c.first+i], width[A]()) }

func merge4(tables []*Table) *family[uint32] {
	columns := make([]column[uint32], len(tables))
	for i, t := range tables {
		columns[i] = column[uint32]{table: t, from: t.v4}
	}
	return merge(columns)
}

func merge6(tables []*Table) *family[uint64] {
	columns := make([]column[uint64], len(tables))
	for i, t := range tables {
		columns[i] = column[uint64]{table: t, from: t.hi, first: len(t.v4)}
	}
	return merge(columns)
}

// merge puts the columns' rows into one order. Columns are sorted, so it takes the least of their next rows again and again;
// looking at each of at most MaxFeeds of them is quicker than a heap for the handful that there are.
func merge[A address](columns []column[A]) *family[A] {
	total := 0
	for _, c := range columns {
		total += len(c.from)
	}
	f := &family[A]{rows: make([]row[A], 0, total), seen: make([]uint32, 0, total), until: make([]uint32, 0, total)}
	next := make([]int, len(columns))
	for range total {
		best := -1
		for feed, c := range columns {
			if i := next[feed]; i < len(c.from) {
				if best < 0 || before(c, i, columns[best], next[best]) {
					best = feed
				}
			}
		}
		c, i := columns[best], next[best]
		next[best]++
		f.rows = append(f.rows, row[A]{from: c.from[i], bits: c.bits(i), feed: uint8(best), confidence: c.table.confidence[c.first+i]})
		f.seen, f.until = append(f.seen, c.table.seen[c.first+i]), append(f.until, c.table.until[c.first+i])
		f.rows[len(f.rows)-1].parent = f.above()
	}
	f.index()
	return f
}

// before tells whether row i of a comes before row j of b.
func before[A address](a column[A], i int, b column[A], j int) bool {
	return a.from[i] < b.from[j] || a.from[i] == b.from[j] && a.bits(i) < b.bits(j)
}
