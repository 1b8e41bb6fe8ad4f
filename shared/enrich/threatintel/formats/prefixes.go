package formats

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// prefixes reads ranges as Google, Bing and others publish those of their crawlers:
// {"creationTime":"2026-11-01T22:00:00.000000","prefixes":[{"ipv6Prefix":"2001:4860:4801:10::/64"},{"ipv4Prefix":"66.249.64.0/27"}]}.
func (c *collector) prefixes(in io.Reader) error {
	found := false
	err := object(in, func(d *json.Decoder, key string) error {
		switch key {
		case "creationTime":
			var text string
			if err := d.Decode(&text); err != nil {
				return err
			}
			c.published = creation(text)
			return nil
		case "prefixes":
			if found {
				return fmt.Errorf("%w: it has prefixes twice", threatintel.ErrNotAFeed)
			}
			found = true
			return array(d, func() error {
				var one struct {
					V4 string `json:"ipv4Prefix"`
					V6 string `json:"ipv6Prefix"`
				}
				if err := d.Decode(&one); err != nil {
					return err
				}
				if (one.V4 == "") == (one.V6 == "") {
					c.bad++
					return nil
				}
				ok, err := c.addText(one.V4+one.V6, 0)
				if !ok {
					c.bad++
				}
				return err
			})
		}
		return d.Decode(new(json.RawMessage))
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: want an object with prefixes", threatintel.ErrNotAFeed)
	}
	return err
}

// creation reads a date with or without a zone, which is then UTC. The zero time means that it says nothing.
func creation(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// object reads one JSON object and nothing behind it: take must read the value of each key.
func object(in io.Reader, take func(d *json.Decoder, key string) error) error {
	d := json.NewDecoder(in)
	t, err := d.Token()
	if err != nil {
		return damaged(err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%w: want a JSON object", threatintel.ErrNotAFeed)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return damaged(err)
		}
		name, _ := key.(string)
		if err := take(d, name); err != nil {
			return damaged(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return damaged(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", threatintel.ErrNotAFeed)
	}
	return nil
}

// array reads a JSON array: take must read one element.
func array(d *json.Decoder, take func() error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%w: want an array in it", threatintel.ErrNotAFeed)
	}
	for d.More() {
		if err := take(); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// damaged says what an error of the JSON decoder means: an end that comes too early, or something else than JSON of this
// form. It does not repeat it, since it may repeat the text.
func damaged(err error) error {
	switch {
	case threatintel.Problem(err) != "other":
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: its JSON ends in the middle", threatintel.ErrTruncated)
	case errors.As(err, new(*json.SyntaxError)), errors.As(err, new(*json.UnmarshalTypeError)):
		return fmt.Errorf("%w: its JSON is broken or of another form", threatintel.ErrNotAFeed)
	}
	return ended(err)
}
