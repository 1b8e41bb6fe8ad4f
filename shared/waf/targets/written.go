package targets

import "encoding/json"

// Written is the JSON object from which a Target would be read that was made in code. All that is not zero
// belongs in it, also where the mode has no use for it, so that it is refused.
type Written map[string]any

// Put puts in those of the values that are not zero, by their keys.
func Put[V comparable](w Written, values map[string]V) {
	var zero V
	for key, value := range values {
		if value != zero {
			w[key] = value
		}
	}
}

// Put puts in what is said about the runs.
func (r Runs) Put(w Written) {
	Put(w, map[string]string{"sync": r.Sync, "drift": r.Drift})
	Put(w, map[string]int{"max_release": r.MaxRelease, "max_add": r.MaxAdd})
}

// Check is the judgement of an adapter's ParseTargets on a Target that was made in code. So there is one
// judgement, and nobody who makes targets in code can get around it.
func Check[T any](w Written, parse func(text string) ([]T, error)) error {
	text, err := json.Marshal([]Written{w})
	if err != nil {
		return err
	}
	_, err = parse(string(text))
	return err
}
