//go:build cgo

package slstest

import (
	"fmt"
	"strings"
	"time"
)

// prepareDialect adds the SQL that translations stand on and then locks the
// configuration: no statement can change a setting any more.
func (e *engine) prepareDialect(c Config) error {
	zone := int64(*c.Zone / time.Second)
	statements := []string{
		"CREATE SCHEMA logs",                 // not on the search path: a query cannot name its tables
		"SET GLOBAL integer_division = true", // Presto: 7 / 2 is 3
		"SET GLOBAL preserve_insertion_order = true",
		fmt.Sprintf("CREATE MACRO sls_zone() AS %d", zone),
		"CREATE MACRO sls_percentile(x, p) AS quantile_cont(x, p)",
		"CREATE MACRO sls_array_position(l, x) AS coalesce(list_position(l, x), 0)",
		"CREATE MACRO sls_array_union(a, b) AS list_distinct(list_concat(a, b))",
		// Of several values of one key the first is kept, as in Presto any may be.
		`CREATE MACRO sls_map_agg(k, v) AS map_from_entries(list_filter(
			list(struct_pack(k := k, v := v)) FILTER (WHERE k IS NOT NULL),
			(e, i) -> list_position(list_transform(list(struct_pack(k := k, v := v)) FILTER (WHERE k IS NOT NULL), f -> f.k), e.k) = i))`,
		"SET GLOBAL lock_configuration = true",
	}
	for _, s := range statements {
		if err := e.exec(s); err != nil {
			return fmt.Errorf("prepare dialect: %s: %w", strings.SplitN(s, "\n", 2)[0], err)
		}
	}
	return nil
}
