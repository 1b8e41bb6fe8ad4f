//go:build cgo

package slstest

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// column is one column of a result.
type column struct {
	name string
	typ  valueType
}

// chunk is a block of result rows (DuckDB: at most 2,048), valid only during
// the call it is handed to.
type chunk struct {
	raw     mapping.DataChunk
	columns []column
}

func (c chunk) rows() int { return int(mapping.DataChunkGetSize(c.raw)) }

// valueType is a column's type, as a tree where it nests.
type valueType struct {
	id       mapping.Type
	scale    uint8 // decimals
	width    uint8
	names    []string // struct members
	children []valueType
}

func newValueType(t mapping.LogicalType) valueType {
	v := valueType{id: mapping.GetTypeId(t)}
	child := func(c mapping.LogicalType) {
		v.children = append(v.children, newValueType(c))
		mapping.DestroyLogicalType(&c)
	}
	switch v.id {
	case mapping.TypeDecimal:
		v.scale, v.width = mapping.DecimalScale(t), mapping.DecimalWidth(t)
	case mapping.TypeList:
		child(mapping.ListTypeChildType(t))
	case mapping.TypeMap:
		child(mapping.MapTypeKeyType(t))
		child(mapping.MapTypeValueType(t))
	case mapping.TypeStruct:
		for i := range mapping.StructTypeChildCount(t) {
			v.names = append(v.names, mapping.StructTypeChildName(t, i))
			child(mapping.StructTypeChildType(t, i))
		}
	}
	return v
}

// name returns the type's name in Presto, as the answer's columnTypes carry it.
func (v valueType) name() string {
	switch v.id {
	case mapping.TypeBoolean:
		return "boolean"
	case mapping.TypeTinyInt, mapping.TypeSmallInt, mapping.TypeInteger, mapping.TypeBigInt, mapping.TypeHugeInt,
		mapping.TypeUTinyInt, mapping.TypeUSmallInt, mapping.TypeUInteger, mapping.TypeUBigInt, mapping.TypeUHugeInt:
		return "bigint"
	case mapping.TypeFloat, mapping.TypeDouble, mapping.TypeDecimal:
		return "double"
	case mapping.TypeTimestamp, mapping.TypeTimestampS, mapping.TypeTimestampMS, mapping.TypeTimestampNS:
		return "timestamp"
	case mapping.TypeTimestampTZ:
		return "timestamp with time zone"
	case mapping.TypeDate:
		return "date"
	case mapping.TypeList:
		return "array(" + v.children[0].name() + ")"
	case mapping.TypeMap:
		return "map(" + v.children[0].name() + ", " + v.children[1].name() + ")"
	case mapping.TypeStruct:
		return "row"
	case mapping.TypeSQLNull:
		return "unknown"
	default:
		return "varchar"
	}
}

// duckString is DuckDB's string cell: up to 12 bytes live in it, longer text is
// pointed to. The layout is part of DuckDB's C interface (duckdb_string_t).
type duckString struct {
	length uint32
	prefix [4]byte
	rest   uintptr // pointer, or bytes 4..11 of a short string
}

// inlineLength is the longest text a duckString holds itself.
const inlineLength = 12

// bytes returns the text in place: valid as long as the vector is.
func (s *duckString) bytes() []byte {
	if s.length <= inlineLength {
		return unsafe.Slice(&s.prefix[0], s.length)
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&s.rest)), s.length)
}

// reader renders one vector's values.
type reader struct {
	typ      valueType
	data     unsafe.Pointer
	validity unsafe.Pointer // nil: no NULL at all
	children []reader
}

func newReader(vec mapping.Vector, typ valueType) reader {
	r := reader{typ: typ, data: mapping.VectorGetData(vec), validity: mapping.VectorGetValidity(vec)}
	switch typ.id {
	case mapping.TypeList:
		r.children = []reader{newReader(mapping.ListVectorGetChild(vec), typ.children[0])}
	case mapping.TypeMap: // a list of (key, value)
		entries := mapping.ListVectorGetChild(vec)
		r.children = []reader{
			newReader(mapping.StructVectorGetChild(entries, 0), typ.children[0]),
			newReader(mapping.StructVectorGetChild(entries, 1), typ.children[1]),
		}
	case mapping.TypeStruct:
		for i, t := range typ.children {
			r.children = append(r.children, newReader(mapping.StructVectorGetChild(vec, mapping.IdxT(i)), t))
		}
	}
	return r
}

func (c chunk) reader(col int) reader {
	return newReader(mapping.DataChunkGetVector(c.raw, mapping.IdxT(col)), c.columns[col].typ)
}

func (r *reader) null(row int) bool {
	if r.typ.id == mapping.TypeSQLNull {
		return true
	}
	if r.validity == nil {
		return false
	}
	word := *(*uint64)(unsafe.Add(r.validity, row/64*8))
	return word&(1<<(row%64)) == 0
}

func cell[T any](r *reader, row int) T {
	var zero T
	return *(*T)(unsafe.Add(r.data, uintptr(row)*unsafe.Sizeof(zero)))
}

// text renders one value as the Log Service does: NULL is the text "null",
// nested values are JSON text, everything else is what Presto would print.
func (r *reader) text(row int) string {
	if r.null(row) {
		return "null"
	}
	switch r.typ.id {
	case mapping.TypeVarchar, mapping.TypeBlob:
		s := (*duckString)(unsafe.Add(r.data, uintptr(row)*unsafe.Sizeof(duckString{})))
		return string(s.bytes())
	case mapping.TypeList, mapping.TypeMap, mapping.TypeStruct:
		return string(r.json(nil, row))
	default:
		return r.scalar(row)
	}
}

// bytes returns a VARCHAR's text in place, nil for NULL.
func (r *reader) bytes(row int) []byte {
	if r.null(row) {
		return nil
	}
	return (*duckString)(unsafe.Add(r.data, uintptr(row)*unsafe.Sizeof(duckString{}))).bytes()
}

func (r *reader) scalar(row int) string {
	switch r.typ.id {
	case mapping.TypeBoolean:
		return strconv.FormatBool(cell[bool](r, row))
	case mapping.TypeTinyInt:
		return strconv.FormatInt(int64(cell[int8](r, row)), 10)
	case mapping.TypeSmallInt:
		return strconv.FormatInt(int64(cell[int16](r, row)), 10)
	case mapping.TypeInteger:
		return strconv.FormatInt(int64(cell[int32](r, row)), 10)
	case mapping.TypeBigInt:
		return strconv.FormatInt(cell[int64](r, row), 10)
	case mapping.TypeUTinyInt:
		return strconv.FormatUint(uint64(cell[uint8](r, row)), 10)
	case mapping.TypeUSmallInt:
		return strconv.FormatUint(uint64(cell[uint16](r, row)), 10)
	case mapping.TypeUInteger:
		return strconv.FormatUint(uint64(cell[uint32](r, row)), 10)
	case mapping.TypeUBigInt:
		return strconv.FormatUint(cell[uint64](r, row), 10)
	case mapping.TypeHugeInt:
		return r.huge(row).String()
	case mapping.TypeFloat:
		return formatDouble(float64(cell[float32](r, row)))
	case mapping.TypeDouble:
		return formatDouble(cell[float64](r, row))
	case mapping.TypeDecimal:
		f, _ := new(big.Rat).SetFrac(r.decimal(row), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.typ.scale)), nil)).Float64()
		return formatDouble(f)
	case mapping.TypeTimestamp, mapping.TypeTimestampTZ:
		return formatTime(time.UnixMicro(cell[int64](r, row)))
	case mapping.TypeTimestampS:
		return formatTime(time.Unix(cell[int64](r, row), 0))
	case mapping.TypeTimestampMS:
		return formatTime(time.UnixMilli(cell[int64](r, row)))
	case mapping.TypeTimestampNS:
		return formatTime(time.Unix(0, cell[int64](r, row)))
	case mapping.TypeDate:
		return time.Unix(int64(cell[int32](r, row))*86_400, 0).UTC().Format(time.DateOnly)
	case mapping.TypeVarchar, mapping.TypeBlob:
		return r.text(row)
	default:
		return ""
	}
}

func (r *reader) huge(row int) *big.Int {
	type hugeint struct {
		lower uint64
		upper int64
	}
	h := cell[hugeint](r, row)
	n := new(big.Int).Lsh(big.NewInt(h.upper), 64)
	return n.Add(n, new(big.Int).SetUint64(h.lower))
}

// decimal returns the unscaled value; its storage depends on the width (DuckDB: 4, 9, 18, 38 digits).
func (r *reader) decimal(row int) *big.Int {
	switch {
	case r.typ.width <= 4:
		return big.NewInt(int64(cell[int16](r, row)))
	case r.typ.width <= 9:
		return big.NewInt(int64(cell[int32](r, row)))
	case r.typ.width <= 18:
		return big.NewInt(cell[int64](r, row))
	default:
		return r.huge(row)
	}
}

// json appends one value as JSON.
func (r *reader) json(dst []byte, row int) []byte {
	if r.null(row) {
		return append(dst, "null"...)
	}
	type listEntry struct{ offset, length uint64 }
	switch r.typ.id {
	case mapping.TypeList:
		e := cell[listEntry](r, row)
		dst = append(dst, '[')
		for i := range e.length {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = r.children[0].json(dst, int(e.offset+i))
		}
		return append(dst, ']')
	case mapping.TypeMap:
		e := cell[listEntry](r, row)
		dst = append(dst, '{')
		for i := range e.length {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONText(dst, r.children[0].text(int(e.offset+i)))
			dst = append(dst, ':')
			dst = r.children[1].json(dst, int(e.offset+i))
		}
		return append(dst, '}')
	case mapping.TypeStruct: // Presto's row prints as an array
		dst = append(dst, '[')
		for i := range r.children {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = r.children[i].json(dst, row)
		}
		return append(dst, ']')
	case mapping.TypeBoolean, mapping.TypeTinyInt, mapping.TypeSmallInt, mapping.TypeInteger, mapping.TypeBigInt,
		mapping.TypeHugeInt, mapping.TypeUTinyInt, mapping.TypeUSmallInt, mapping.TypeUInteger, mapping.TypeUBigInt:
		return append(dst, r.scalar(row)...)
	case mapping.TypeFloat, mapping.TypeDouble, mapping.TypeDecimal:
		s := r.scalar(row)
		if strings.ContainsAny(s, "Ny") { // NaN and Infinity are no JSON numbers
			return appendJSONText(dst, s)
		}
		return append(dst, s...)
	default:
		return appendJSONText(dst, r.text(row))
	}
}

// appendJSONText appends s as a JSON string. Plain ASCII, nearly everything, is copied as it is.
func appendJSONText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			b := new(strings.Builder)
			enc := json.NewEncoder(b)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(s) // a string always encodes
			return append(dst, strings.TrimSuffix(b.String(), "\n")...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// formatDouble prints a double as Presto (that is, Java) does: 1.0, 0.25, 1.0E7, NaN.
func formatDouble(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent) // always a signed number
	return mantissa + "E" + strconv.Itoa(n)
}

// formatTime prints a timestamp as Presto does. The engine's timestamps carry
// the service's local time as if it were UTC (see macros.go).
func formatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02 15:04:05.000")
}
