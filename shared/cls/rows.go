package cls

import (
	"bytes"
	"encoding/json"
	"fmt"

	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
)

// answer is what SearchLog says with UseNewAnalysis (SearchLogResponseParams).
type answer struct {
	*tchttp.BaseResponse
	Response struct {
		Analysis        *bool
		AnalysisRecords []string // each a JSON object
		Columns         []struct{ Name, Type string }
		SamplingRate    *float64
		Topics          *struct {
			Errors []struct{ TopicID, ErrorMsg, ErrorCodeStr string }
		}
	}
}

// rows returns the rows of an answer that can be believed.
func (a *answer) rows() ([]map[string]string, error) {
	r := &a.Response
	switch {
	case r.Topics != nil && len(r.Topics.Errors) > 0:
		e := r.Topics.Errors[0]
		return nil, refusal(e.ErrorCodeStr, e.ErrorMsg, "", 200, Credentials{})
	case r.Analysis == nil || !*r.Analysis:
		return nil, &failure{kind: ErrInvalid, text: "the answer is no analysis: switch on statistics for the fields that the rule names, in the topic's index"}
	case r.SamplingRate != nil && *r.SamplingRate != 1:
		return nil, &failure{kind: ErrIncomplete, truncated: true, text: fmt.Sprintf("the service looked at a sample of %g of the lines", *r.SamplingRate)}
	}
	rows := make([]map[string]string, len(r.AnalysisRecords))
	for i, record := range r.AnalysisRecords {
		row, err := readRecord(record)
		if err != nil {
			return nil, err
		}
		for _, c := range r.Columns {
			if _, ok := row[c.Name]; !ok {
				row[c.Name] = null // whether NULL is written or left out is UNVERIFIED
			}
		}
		rows[i] = row
	}
	return rows, nil
}

// null is how SQL's NULL reaches a rule, on every log service.
const null = "null"

// readRecord makes of a record what package sls gives: text for every column. A
// number keeps the digits that the service wrote, an array is JSON text.
func readRecord(record string) (map[string]string, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(record), &values); err != nil || values == nil {
		// Not repeated: it holds log lines.
		return nil, &failure{kind: ErrUnavailable, text: "a row is not the JSON object that the API promises"}
	}
	row := make(map[string]string, len(values))
	for name, value := range values {
		switch value[0] {
		case '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, &failure{kind: ErrUnavailable, text: "a row is not the JSON object that the API promises"}
			}
			row[name] = s
		case '[', '{':
			var b bytes.Buffer
			_ = json.Compact(&b, value) // it has been read as JSON already
			row[name] = b.String()
		default: // a number, true, false or null
			row[name] = string(value)
		}
	}
	return row, nil
}
