//go:build cgo

package slstest

import (
	"fmt"
	"math"
	"strings"
)

// prestoFunction says how one function of the service is written for DuckDB.
type prestoFunction struct {
	name     string // DuckDB's name, or a macro's
	min, max int    // number of arguments
	write    func(t *translator, args []argument) (string, error)
}

// many is for functions of any number of arguments.
const many = math.MaxInt

// prestoFunctions are the functions that a query may call. Everything else is
// refused, as the service would, or because it is not available here.
var prestoFunctions = buildFunctions()

// unavailable are functions that the service has and that need data or state not present here.
var unavailable = map[string]string{
	"ip_to_province": "it needs a city database", "ip_to_city": "it needs a city database", "ip_to_provider": "it needs a provider database",
	"ip_to_geo": "it needs a city database", "ip_to_city_geo": "it needs a city database",
	"security_check_domain": "only addresses can be checked", "security_check_url": "only addresses can be checked",
	"time_series": "gaps are not filled; group by __time__ - __time__ % n", "compare": "only one range is queried", "ts_compare": "only one range is queried",
}

// dateParts are the functions that EXTRACT may name.
var dateParts = words("year quarter month week day hour minute second millisecond")

func buildFunctions() map[string]prestoFunction {
	m := map[string]prestoFunction{}
	// same: DuckDB has it under the same name and with the same meaning.
	same := func(lo, hi int, names string) {
		for _, n := range strings.Fields(names) {
			m[n] = prestoFunction{name: n, min: lo, max: hi}
		}
	}
	// as: DuckDB has it under another name. Pairs of names.
	as := func(lo, hi int, pairs string) {
		list := strings.Fields(pairs)
		for i := 0; i < len(list); i += 2 {
			m[list[i]] = prestoFunction{name: list[i+1], min: lo, max: hi}
		}
	}
	// form: an expression with %[1]s … for the arguments.
	form := func(name string, n int, format string) {
		m[name] = prestoFunction{min: n, max: n, write: func(_ *translator, args []argument) (string, error) {
			list := make([]any, len(args))
			for i, a := range args {
				list[i] = a.sql
			}
			return fmt.Sprintf(format, list...), nil
		}}
	}
	special := func(name string, lo, hi int, write func(*translator, []argument) (string, error)) {
		m[name] = prestoFunction{min: lo, max: hi, write: write}
	}
	aggregates(same, as, special)
	textFunctions(same, as, form, special)
	timeFunctions(form, special)
	dataFunctions(same, as, form, special)
	return m
}

type (
	sameFunc    = func(lo, hi int, names string)
	formFunc    = func(name string, n int, format string)
	specialFunc = func(name string, lo, hi int, write func(*translator, []argument) (string, error))
)

func aggregates(same, as sameFunc, special specialFunc) {
	same(0, 1, "count")
	same(1, 1, "sum avg min max bool_and bool_or stddev stddev_pop stddev_samp variance var_pop var_samp skewness kurtosis histogram array_agg count_if")
	same(2, 2, "corr covar_pop covar_samp regr_slope regr_intercept")
	same(2, 3, "max_by min_by")
	as(1, 1, "arbitrary any_value any_value any_value every bool_and bitwise_and_agg bit_and bitwise_or_agg bit_or")
	as(2, 2, "map_agg sls_map_agg approx_percentile sls_percentile")
	special("approx_distinct", 1, 2, func(_ *translator, args []argument) (string, error) { // the second is a standard error, ours is fixed
		return "approx_count_distinct(" + args[0].sql + ")", nil
	})
	same(0, 0, "row_number rank dense_rank percent_rank cume_dist")
	same(1, 3, "lag lead")
	same(1, 1, "ntile first_value last_value unnest")
	same(2, 2, "nth_value")
}

func textFunctions(same, as sameFunc, form formFunc, special specialFunc) {
	same(1, 1, "length lower upper trim ltrim rtrim reverse chr url_encode url_decode")
	same(2, 2, "strpos starts_with ends_with repeat")
	same(2, 3, "substr substring")
	same(3, 3, "split_part lpad rpad")
	as(1, 1, "codepoint unicode to_utf8 encode from_utf8 decode to_hex hex from_hex unhex to_base64 base64 from_base64 from_base64")
	as(2, 2, "split string_split levenshtein_distance levenshtein")
	form("md5", 1, "unhex(md5(%s))")
	form("sha1", 1, "unhex(sha1(%s))")
	form("sha256", 1, "unhex(sha256(%s))")
	special("replace", 2, 3, func(_ *translator, args []argument) (string, error) {
		if len(args) == 2 {
			args = append(args, argument{sql: "''"})
		}
		return "replace(" + joinArguments(args) + ")", nil
	})
	special("concat", 1, many, func(_ *translator, args []argument) (string, error) { // NULL makes NULL, unlike DuckDB's concat
		list := make([]string, len(args))
		for i, a := range args {
			list[i] = "(" + a.sql + ")"
		}
		return "(" + strings.Join(list, " || ") + ")", nil
	})

	special("regexp_extract", 2, 3, regexpExtract)
	special("regexp_replace", 2, 3, regexpReplace)
	pattern := func(name, duck string, hi int) {
		special(name, 2, hi, func(_ *translator, args []argument) (string, error) {
			return duck + "(" + joinArguments(args) + ")", checkPattern(args[1])
		})
	}
	pattern("regexp_like", "regexp_matches", 2)
	pattern("regexp_extract_all", "regexp_extract_all", 3)
	pattern("regexp_split", "string_split_regex", 2)

	form("url_extract_protocol", 1, `nullif(regexp_extract(%[1]s, '^([A-Za-z][A-Za-z0-9+.-]*)://', 1), '')`)
	form("url_extract_host", 1, `nullif(regexp_extract(%[1]s, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^:/?#]*)', 1), '')`)
	form("url_extract_port", 1, `try_cast(nullif(regexp_extract(%[1]s, '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*:(\d{1,5})(?:[/?#]|$)', 1), '') AS BIGINT)`)
	form("url_extract_path", 1, `regexp_extract(%[1]s, '^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?([^?#]*)', 1)`)
	form("url_extract_query", 1, `nullif(regexp_extract(%[1]s, '^[^?#]*\?([^#]*)', 1), '')`)
	form("url_extract_fragment", 1, `nullif(regexp_extract(%[1]s, '#(.*)$', 1), '')`)
	form("url_extract_parameter", 2, `url_decode(regexp_extract(CASE WHEN regexp_matches(%[1]s, '[?&]' || regexp_escape(%[2]s) || '=') THEN %[1]s END, '[?&]' || regexp_escape(%[2]s) || '=([^&#]*)', 1))`)
}

func timeFunctions(form formFunc, special specialFunc) {
	form("date_trunc", 2, "CAST(date_trunc(%[1]s, sls_time(%[2]s)) AS TIMESTAMP)") // DuckDB makes dates of days
	form("to_unixtime", 1, "(epoch(sls_time(%[1]s)) - sls_zone())")
	form("date", 1, "CAST(sls_time(%[1]s) AS DATE)")
	special("from_unixtime", 1, 2, func(_ *translator, args []argument) (string, error) {
		if len(args) == 2 {
			return "(to_timestamp(" + args[0].sql + ") AT TIME ZONE " + args[1].sql + ")", nil
		}
		return "sls_time(" + args[0].sql + ")", nil
	})
	special("date_format", 2, 2, func(_ *translator, args []argument) (string, error) {
		f, err := mysqlFormat("date_format", args[1])
		return "strftime(sls_time(" + args[0].sql + "), " + f + ")", err
	})
	special("date_parse", 2, 2, func(_ *translator, args []argument) (string, error) {
		f, err := mysqlFormat("date_parse", args[1])
		return "strptime(" + args[0].sql + ", " + f + ")", err
	})
	special("now", 0, 0, func(t *translator, _ []argument) (string, error) { return t.clock("now"), nil })
	for part, duck := range map[string]string{
		"year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day", "hour": "hour", "minute": "minute",
		"second": "second", "day_of_month": "day", "day_of_week": "isodow", "dow": "isodow", "day_of_year": "dayofyear", "doy": "dayofyear",
		"year_of_week": "isoyear", "yow": "isoyear",
	} {
		form(part, 1, duck+"(sls_time(%[1]s))")
	}
	form("millisecond", 1, "(millisecond(sls_time(%[1]s)) %% 1000)")
	form("date_diff", 3, "date_sub(%[1]s, sls_time(%[2]s), sls_time(%[3]s))") // whole units, as Presto counts
	special("date_add", 3, 3, func(_ *translator, args []argument) (string, error) {
		unit := ""
		if args[0].literal != nil {
			unit = strings.ToLower(*args[0].literal)
		}
		if !words("millisecond second minute hour day week month quarter year")[unit] {
			return "", invalid("date_add: the unit must be a literal such as 'minute'")
		}
		count := args[1].sql
		if unit == "quarter" {
			unit, count = "month", "3 * ("+count+")"
		}
		return "(sls_time(" + args[2].sql + ") + to_" + unit + "s(" + count + "))", nil
	})
}

func dataFunctions(same, as sameFunc, form formFunc, special specialFunc) {
	same(1, 1, "abs ceil ceiling floor sqrt cbrt exp ln log2 log10 sign degrees radians sin cos tan asin acos atan")
	same(1, 2, "round")
	same(2, 2, "mod power atan2 nullif")
	same(0, 0, "pi")
	same(1, many, "coalesce greatest least")
	same(1, 1, "try map_keys map_values")
	as(2, 2, "pow power")
	as(1, 1, "is_nan isnan is_infinite isinf is_finite isfinite truncate trunc")
	as(0, 0, "rand random random random")
	as(2, 2, "bitwise_xor xor")
	form("bitwise_and", 2, "((%s) & (%s))")
	form("bitwise_or", 2, "((%s) | (%s))")
	form("log", 2, "(ln(%[2]s) / ln(%[1]s))")
	special("if", 2, 3, func(_ *translator, args []argument) (string, error) {
		s := "CASE WHEN " + args[0].sql + " THEN " + args[1].sql
		if len(args) == 3 {
			s += " ELSE " + args[2].sql
		}
		return "(" + s + " END)", nil
	})

	as(1, 1, "cardinality len array_distinct list_distinct array_sort list_sort array_max list_max array_min list_min flatten flatten")
	as(2, 2, `contains list_contains array_position sls_array_position transform list_transform filter list_filter
		array_union sls_array_union array_intersect list_intersect arrays_overlap list_has_any`)
	as(1, 2, "row row")
	as(2, 3, "sequence generate_series")
	form("element_at", 2, "((%s)[%s])")
	form("map", 2, "map(%s, %s)")
	form("slice", 3, "list_slice(%[1]s, %[2]s, (%[2]s) + (%[3]s) - 1)")
	special("array_join", 2, 3, func(_ *translator, args []argument) (string, error) {
		list := args[0].sql
		if len(args) == 3 {
			list = "list_transform(" + list + ", e -> coalesce(CAST(e AS VARCHAR), " + args[2].sql + "))"
		}
		return "array_to_string(" + list + ", " + args[1].sql + ")", nil
	})

	form("json_extract", 2, "(CASE WHEN json_valid(%[1]s) THEN json_extract(%[1]s, %[2]s) END)")
	form("json_extract_scalar", 2, "(CASE WHEN json_valid(%[1]s) THEN CASE WHEN json_type(%[1]s, %[2]s) NOT IN ('OBJECT', 'ARRAY') THEN json_extract_string(%[1]s, %[2]s) END END)")
	form("json_array_length", 1, "(CASE WHEN json_valid(%[1]s) THEN CASE WHEN json_type(%[1]s) = 'ARRAY' THEN json_array_length(%[1]s) END END)")
	form("json_parse", 1, "CAST(%s AS JSON)")
	form("json_format", 1, "CAST(%s AS VARCHAR)")

	special("ip_to_country", 1, 2, func(_ *translator, args []argument) (string, error) {
		if len(args) == 1 {
			return "sls_country(" + args[0].sql + ")", nil
		}
		if args[1].literal == nil || *args[1].literal != "en" {
			return "", invalid("ip_to_country: the language must be 'en'")
		}
		return "sls_country_code(" + args[0].sql + ")", nil
	})
	as(1, 1, "ip_to_country_code sls_country_code ip_to_domain sls_ip_domain security_check_ip sls_unsafe_ip")
}
