//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

// putLogs stores a LogGroup. Either all of its logs are stored or none is.
func (s *Server) putLogs(ctx context.Context, c *call) (answer, error) {
	raw, err := c.unpack()
	if err != nil {
		return answer{}, err
	}
	records, fixed, err := decodeLogGroup(raw)
	if err != nil {
		return answer{}, denied(http.StatusBadRequest, "PostBodyInvalid", "the body is not a LogGroup: %v", err)
	}
	ls, err := s.lookup(c.store, true)
	if err != nil {
		return answer{}, err
	}
	return answer{}, ls.append(ctx, s.engine, records, fixed, s.config.Now())
}

var errTruncated = errors.New("truncated or malformed field")

// fields calls f for each field of a protobuf message. The bytes are parts of b.
func fields(b []byte, f func(number protowire.Number, value []byte, n uint64) error) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		var value []byte
		var varint uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			varint = uint64(v)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		if err := f(number, value, varint); err != nil {
			return err
		}
	}
	return nil
}

// decodeLogGroup reads a LogGroup {Logs=1, Topic=3, Source=4, LogTags=6}. Keys and values are parts of b.
func decodeLogGroup(b []byte) (records []record, fixed record, err error) {
	fixed = record{keys: [][]byte{[]byte(fieldSource), []byte(fieldTopic)}, vals: [][]byte{{}, {}}}
	err = fields(b, func(number protowire.Number, value []byte, _ uint64) error {
		switch number {
		case 1:
			if len(records) == maxGroupLogs {
				return fmt.Errorf("more than %d logs", maxGroupLogs)
			}
			r, err := decodeLog(value)
			records = append(records, r)
			return err
		case 3:
			fixed.vals[1] = value
		case 4:
			fixed.vals[0] = value
		case 6:
			key, text, err := decodePair(value)
			fixed.keys = append(fixed.keys, append([]byte(tagPrefix), key...))
			fixed.vals = append(fixed.vals, text)
			return err
		}
		return nil
	})
	return records, fixed, err
}

// decodeLog reads a Log {Time=1, Contents=2, TimeNs=4}.
func decodeLog(b []byte) (record, error) {
	r := record{nanos: -1}
	timed := false
	err := fields(b, func(number protowire.Number, value []byte, n uint64) error {
		switch number {
		case 1:
			r.time, timed = int64(uint32(n)), true
		case 2:
			key, text, err := decodePair(value)
			r.keys, r.vals = append(r.keys, key), append(r.vals, text)
			return err
		case 4:
			if n >= 1e9 {
				return errors.New("TimeNs is a second or more")
			}
			r.nanos = int32(n)
		}
		return nil
	})
	if err == nil && !timed {
		err = errors.New("a log has no Time")
	}
	return r, err
}

// decodePair reads a LogContent or LogTag {Key=1, Value=2}.
func decodePair(b []byte) (key, value []byte, err error) {
	err = fields(b, func(number protowire.Number, v []byte, _ uint64) error {
		switch number {
		case 1:
			key = v
		case 2:
			value = v
		}
		return nil
	})
	if err == nil && len(key) == 0 {
		err = errors.New("a key is empty")
	}
	return key, value, err
}
