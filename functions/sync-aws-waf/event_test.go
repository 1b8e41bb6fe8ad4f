package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
)

// today is a moment shortly after the events in events/.
var today = syncruntest.SampleTime().Add(time.Second)

func TestDecodeEventReadsEverySample(t *testing.T) {
	scheduled := syncrun.Event{Mode: syncrun.ModeSync, Now: syncruntest.SampleTime(), Scheduled: true}
	ten, fifty := 10*time.Second, 50*time.Second
	tests := map[string]syncrun.Event{
		"sync-aws-waf.rule.json":     scheduled,
		"sync-aws-waf.schedule.json": scheduled,
		"sync-aws-waf.input.json":    {Mode: syncrun.ModePlan},
		"sync-aws-waf.verify.json":   {Mode: syncrun.ModeVerify},
		"sync-aws-waf.hourly.json":   {Mode: syncrun.ModeVerify, Wait: &ten},
		"sync-aws-waf.wait.json":     {Mode: syncrun.ModeSync, Targets: []string{"edge"}, Wait: &fifty},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decodeEvent(syncruntest.Sample(t, name), today)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeEvent(t *testing.T) {
	scheduled := syncrun.Event{Mode: syncrun.ModeSync, Now: today, Scheduled: true}
	syncruntest.TestInputs(t, inputs, decodeEvent, []syncruntest.Accepted{
		{Name: "an envelope without detail", Payload: `{"source":"aws.events","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z"}`, Want: scheduled},
		{Name: "a detail of null", Payload: `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":null}`, Want: scheduled},
		{Name: "a detail of an empty string", Payload: `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":""}`, Want: scheduled},
	}, []syncruntest.Rejected{
		{Name: "an SQS batch", Payload: `{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"{}"}]}`, Want: []string{"SQS", "scheduled event"}},
		{Name: "an SNS notification", Payload: `{"Records":[{"EventSource":"aws:sns","Sns":{}}]}`, Want: []string{"SNS", "scheduled event"}},
		{Name: "records of another service", Payload: `{"Records":[{"eventSource":"aws:s3"}]}`, Want: []string{"Records", "scheduled event"}},
		{Name: "a Function URL's request", Payload: `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}}}`, Want: []string{"HTTP request", "scheduled event"}},
		{Name: "another service's event", Payload: `{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","time":"2026-05-28T20:25:01Z","detail":{}}`, Want: []string{"source", "aws.ec2", "aws.scheduler"}},
		{Name: "another event of the same source", Payload: `{"source":"aws.events","detail-type":"Something Else","time":"2026-05-28T20:25:01Z","detail":{}}`, Want: []string{"detail-type", "Something Else", "Scheduled Event"}},
		{Name: "an envelope without a time", Payload: `{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`, Want: []string{"time", "2026-05-28T20:25:00Z"}},
		{Name: "settings inside the envelope", Payload: `{"source":"aws.events","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":{"mode":"plan"}}`, Want: []string{"detail", "Input"}},
		{Name: "settings inside the envelope's string", Payload: `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":"{\"mode\":\"plan\"}"}`, Want: []string{"detail", "Input"}},
		{Name: "a source that is no text", Payload: `{"source":1}`, Want: []string{"source", "number"}},
	})
}

func TestDecodeEventRefusesTheMalformedSample(t *testing.T) {
	if _, err := decodeEvent(syncruntest.Sample(t, "sync-aws-waf.malformed.json"), today); !errors.Is(err, syncrun.ErrBadEvent) {
		t.Errorf("error = %v, want syncrun.ErrBadEvent", err)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, name := range []string{"rule", "schedule", "input", "verify", "wait", "malformed"} {
		f.Add(syncruntest.Sample(f, "sync-aws-waf."+name+".json"))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := decodeEvent(payload, today)
		if err != nil {
			if !errors.Is(err, syncrun.ErrBadEvent) {
				t.Fatalf("error %v is not syncrun.ErrBadEvent", err)
			}
			return
		}
		known := ev.Mode == syncrun.ModeSync || ev.Mode == syncrun.ModePlan || ev.Mode == syncrun.ModeVerify
		if stays := ev.Stay(syncrun.DefaultWait); !known || ev.Clock(today).After(today) || stays < 0 || stays > syncrun.MaxWait || stays > 0 && ev.Mode == syncrun.ModePlan {
			t.Fatalf("accepted %+v", ev)
		}
	})
}
