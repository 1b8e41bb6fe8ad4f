//go:build cgo

package localcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
)

// alertID is the alert that the webhook knows here; events/webhook.alert.json has it too.
const alertID = "tracewall-rate-limit-address"

// asyncRun is one asynchronous run of detect.
type asyncRun struct {
	answer []byte
	err    error
}

// handleAsync is detect as Function Compute's API sees it.
func (c *Cloud) handleAsync(ctx context.Context, payload []byte, async bool) ([]byte, error) {
	answer, err := c.detect.Invoke(ctx, payload)
	if async {
		select {
		case c.async <- asyncRun{answer, err}:
		default: // nobody waits
		}
	}
	return answer, err
}

// event reads one of the events in events/.
func (c *Cloud) event(name string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(c.cfg.Root, "events", name))
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		return nil, fmt.Errorf("read event %s: %w", name, err)
	}
	return event, nil
}

// DetectByTimer hands detect the timer's event, as of now, and returns the run's report.
func (c *Cloud) DetectByTimer(ctx context.Context, now time.Time) (detect.Report, error) {
	event, err := c.event("detect.timer.json")
	if err != nil {
		return detect.Report{}, err
	}
	event["triggerTime"] = now.UTC().Format(time.RFC3339)
	return c.runDetect(ctx, event)
}

// DetectRange calls detect directly for a stretch of time, as of a moment in the past.
func (c *Cloud) DetectRange(ctx context.Context, from, to, asOf time.Time) (detect.Report, error) {
	return c.runDetect(ctx, map[string]any{
		"from": from.UTC().Format(time.RFC3339), "to": to.UTC().Format(time.RFC3339), "as_of": asOf.UTC().Format(time.RFC3339),
	})
}

func (c *Cloud) runDetect(ctx context.Context, event map[string]any) (detect.Report, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return detect.Report{}, err
	}
	answer, err := c.detect.Invoke(ctx, payload)
	if err != nil {
		return detect.Report{}, fmt.Errorf("detect: %w", err)
	}
	return c.report(ctx, answer)
}

// report finds the report that goes with the summary which detect returned.
func (c *Cloud) report(ctx context.Context, answer []byte) (detect.Report, error) {
	var summary struct {
		detect.Summary
		Skipped string `json:"skipped"`
	}
	if err := json.Unmarshal(answer, &summary); err != nil {
		return detect.Report{}, fmt.Errorf("detect's answer: %w", err)
	}
	if summary.Skipped != "" {
		return detect.Report{Summary: summary.Summary}, nil
	}
	text, err := c.store.Run(ctx, summary.Run)
	if err != nil {
		return detect.Report{}, fmt.Errorf("detect's report: %w", err)
	}
	var report detect.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return detect.Report{}, fmt.Errorf("detect's report: %w", err)
	}
	return report, nil
}

// Alert hands the webhook the HTTP request of an SLS alert about [from, to), and
// waits for the run of detect that it starts. answered is how long the webhook took.
func (c *Cloud) Alert(ctx context.Context, now, from, to time.Time) (report detect.Report, answered time.Duration, err error) {
	event, err := c.event("webhook.alert.json")
	if err != nil {
		return report, 0, err
	}
	if err := fillAlert(event, now, from, to); err != nil {
		return report, 0, fmt.Errorf("events/webhook.alert.json: %w", err)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return report, 0, err
	}
	began := time.Now()
	answer, err := c.webhook.Invoke(ctx, payload)
	answered = time.Since(began)
	if err != nil {
		return report, answered, fmt.Errorf("webhook: %w", err)
	}
	var response struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(answer, &response); err != nil || response.StatusCode != 200 {
		return report, answered, fmt.Errorf("webhook answered %d %.200q", response.StatusCode, response.Body)
	}
	select {
	case run := <-c.async:
		if run.err != nil {
			return report, answered, fmt.Errorf("detect: %w", run.err)
		}
		report, err = c.report(ctx, run.answer)
		return report, answered, err
	case <-ctx.Done():
		return report, answered, ctx.Err()
	}
}

// fillAlert puts a time and an id of its own into the request: the webhook drops repetitions.
func fillAlert(event map[string]any, now, from, to time.Time) error {
	body, _ := event["body"].(string)
	var alert map[string]any
	if err := json.Unmarshal([]byte(body), &alert); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	results, _ := alert["results"].([]any)
	if len(results) == 0 {
		return errors.New("body has no results")
	}
	result, _ := results[0].(map[string]any)
	if result == nil {
		return errors.New("body's result is no object")
	}
	result["start_time"], result["end_time"] = from.Unix(), to.Unix()
	alert["alert_time"], alert["fire_time"] = now.Unix(), now.Unix()
	alert["alert_id"] = alertID
	alert["alert_instance_id"] = fmt.Sprintf("local-%d", now.UnixNano())
	text, err := json.Marshal(alert)
	if err != nil {
		return err
	}
	event["body"] = string(text)
	if request, ok := event["requestContext"].(map[string]any); ok {
		request["time"] = now.UTC().Format(time.RFC3339)
		request["timeEpoch"] = fmt.Sprint(now.UnixMilli())
	}
	return nil
}
