package networks

import (
	"errors"
	"fmt"

	"github.com/oschwald/maxminddb-golang/v2"
)

// record is what the known layouts have of an autonomous system. GeoLite2-ASN, GeoIP2-ISP
// and DB-IP have the first two; ipinfo writes asn as "AS13335" with name (ASN file) or
// as_name (Lite and country_asn); iplocate writes it as a number with org.
type record struct {
	Number       uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
	ASN          any    `maxminddb:"asn"`
	ASName       string `maxminddb:"as_name"`
	Name         string `maxminddb:"name"`
	Org          string `maxminddb:"org"`
}

func (r record) operator() (asn uint32, name string, err error) {
	asn = r.Number
	if asn == 0 {
		switch v := r.ASN.(type) {
		case nil:
		case string:
			if asn, err = number(v); err != nil {
				return 0, "", err
			}
		case uint64:
			if v > 1<<32-1 {
				return 0, "", errors.New("its autonomous system is not a number")
			}
			asn = uint32(v)
		default:
			return 0, "", errors.New("its autonomous system is not a number")
		}
	}
	for _, name = range []string{r.Organization, r.ASName, r.Name, r.Org} {
		if name != "" {
			break
		}
	}
	return asn, clean(name), nil
}

// addMMDB reads a MaxMind DB, every network of it: what is broken shall be found now.
func (b *builder) addMMDB(data []byte) (err error) {
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return fmt.Errorf("not a whole MaxMind DB: %w", err)
	}
	defer db.Close()
	seen := map[uintptr]uint32{} // operators by the place of their record, which many networks share
	if err := checkTree(data, int(db.Metadata.NodeCount), int(db.Metadata.RecordSize)); err != nil {
		return fmt.Errorf("damaged MaxMind DB: %w", err)
	}
	known := 0
	for result := range db.Networks() {
		if err := result.Err(); err != nil {
			return fmt.Errorf("damaged MaxMind DB: %w", err)
		}
		who, ok := seen[result.Offset()]
		if !ok {
			var r record
			if err := result.Decode(&r); err != nil {
				return fmt.Errorf("damaged MaxMind DB: %w", err)
			}
			asn, name, err := r.operator()
			if err != nil {
				return err
			}
			if asn != 0 {
				who = b.operator(asn, name)
			}
			seen[result.Offset()] = who
		}
		if who == 0 {
			continue
		}
		known++
		from, to, err := bounds(result.Prefix())
		if err != nil {
			return err
		}
		if err := b.claim(from, to, who); err != nil {
			return err
		}
	}
	if known == 0 {
		return fmt.Errorf("it is a %.60q and holds no autonomous systems", db.Metadata.DatabaseType)
	}
	return nil
}
