//go:build cgo

package slstest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxBody bounds a request, as it comes and unpacked (SLS: 10 MB for PutLogs).
const maxBody = 10 << 20

// readBody reads the request's body, as long as it is not too large.
func (c *call) readBody() error {
	if c.ContentLength > maxBody {
		return tooLarge()
	}
	b, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return denied(http.StatusBadRequest, "BadRequest", "the body could not be read")
	}
	if len(b) > maxBody {
		return tooLarge()
	}
	c.body = b
	return nil
}

func tooLarge() error {
	return denied(http.StatusBadRequest, "PostBodyTooLarge", "body size must be at most %d bytes", maxBody)
}

// unpack returns the body unpacked, of exactly the size that the header says.
func (c *call) unpack() ([]byte, error) {
	text := c.Header.Get("x-log-bodyrawsize")
	if text == "" {
		return nil, denied(http.StatusBadRequest, "MissingBodyRawSize", "x-log-bodyrawsize header is missing")
	}
	size, err := strconv.Atoi(text)
	if err != nil || size < 0 {
		return nil, denied(http.StatusBadRequest, "InvalidBodyRawSize", "x-log-bodyrawsize is not a number")
	}
	if size > maxBody {
		return nil, tooLarge()
	}
	out := c.body
	switch kind := c.Header.Get("x-log-compresstype"); kind {
	case "":
	case "lz4":
		out = make([]byte, size)
		var n int
		if n, err = lz4.UncompressBlock(c.body, out); err == nil {
			out = out[:n]
		}
	case "zstd":
		out, err = unpackZstd(c.body, size)
	default:
		return nil, denied(http.StatusBadRequest, "InvalidCompressType", "x-log-compresstype %s is not supported", shorten(kind))
	}
	if err != nil || len(out) != size {
		return nil, denied(http.StatusBadRequest, "PostBodyUncompressError", "the body does not unpack to x-log-bodyrawsize bytes")
	}
	return out, nil
}

func unpackZstd(b []byte, size int) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer d.Close()
	return d.DecodeAll(b, make([]byte, 0, size))
}

// accepts tells whether the client can unpack a body.
func (c *call) accepts(encoding string) bool {
	for _, e := range strings.Split(c.Header.Get("Accept-Encoding"), ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(e), ";"); name == encoding {
			return true
		}
	}
	return false
}

// packLZ4 packs a body as one LZ4 block. What does not shrink is stored as it is, which is a block too.
func packLZ4(b []byte) ([]byte, error) {
	out := make([]byte, lz4.CompressBlockBound(len(b)))
	n, err := lz4.CompressBlock(b, out, nil)
	if err != nil && !errors.Is(err, lz4.ErrInvalidSourceShortBuffer) {
		return nil, fmt.Errorf("lz4: %w", err)
	}
	if n == 0 {
		return literalBlock(b), nil
	}
	return out[:n], nil
}

// literalBlock is an LZ4 block of literals only: a length (15, then bytes of 255, then the rest) and the text.
func literalBlock(b []byte) []byte {
	var out []byte
	if n := len(b); n < 15 {
		out = append(out, byte(n<<4))
	} else {
		out = append(out, 0xF0)
		for n -= 15; n >= 255; n -= 255 {
			out = append(out, 255)
		}
		out = append(out, byte(n))
	}
	return append(out, b...)
}
