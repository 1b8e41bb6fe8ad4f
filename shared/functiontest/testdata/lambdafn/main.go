// Command lambdafn is a small Lambda function that does what its event says. The tests of
// functiontest build it and run it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	Text string `json:"text"`
}

func handle(ctx context.Context, in event) (any, error) {
	switch in.Do {
	case "error":
		return nil, errors.New(in.Text)
	case "panic":
		panic(in.Text)
	case "exit":
		fmt.Fprintln(os.Stderr, in.Text)
		os.Exit(3)
	case "sleep":
		<-time.After(time.Minute)
	case "big":
		return strings.Repeat("x", 7<<20), nil
	case "broken":
		return io.MultiReader(strings.NewReader("half"), brokenReader{}), nil
	}
	deadline, ok := ctx.Deadline()
	lc, _ := lambdacontext.FromContext(ctx)
	return map[string]any{
		"text": in.Text, "pid": os.Getpid(), "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn,
		"deadline": ok, "left_ms": time.Until(deadline).Milliseconds(), "env": os.Environ(),
	}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("reader broke") }

func main() {
	fmt.Println("hello on stdout")
	if os.Getenv("BAD_CONFIG") != "" {
		fmt.Fprintln(os.Stderr, "config: WAF_TARGETS: not set")
		os.Exit(1)
	}
	if os.Getenv("SIGTERM") == "" {
		lambda.Start(handle)
	}
	lambda.StartWithOptions(func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil },
		lambda.WithEnableSIGTERM(func() { fmt.Println("told to stop") }))
}
