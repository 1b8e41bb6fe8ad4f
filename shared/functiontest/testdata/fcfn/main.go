// Command fcfn is a small Function Compute function that does what its event says. The
// tests of functiontest build it and run it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

type event struct {
	Do   string `json:"do"`
	Text string `json:"text"`
}

var initialized string

func handle(ctx context.Context, in event) (json.RawMessage, error) {
	switch in.Do {
	case "error":
		return nil, errors.New(in.Text)
	case "panic":
		panic(in.Text)
	case "exit":
		fmt.Fprint(os.Stderr, in.Text) // no newline: the rest of a line counts too
		os.Exit(3)
	case "sleep":
		<-time.After(time.Minute)
	case "deaf": // to a polite end, and to the broken pipe that its output becomes
		signal.Ignore(syscall.SIGTERM, syscall.SIGPIPE)
	case "long":
		fmt.Println(strings.Repeat("y", 100<<10))
	}
	deadline, ok := ctx.Deadline()
	fctx, _ := fccontext.FromContext(ctx)
	return json.Marshal(map[string]any{
		"text": in.Text, "pid": os.Getpid(), "initialized": initialized, "id": fctx.RequestID, "retry": fctx.RetryCount,
		"region": fctx.Region, "account": fctx.AccountId, "key": fctx.Credentials.AccessKeyId,
		"secret": fctx.Credentials.AccessKeySecret, "token": fctx.Credentials.SecurityToken,
		"name": fctx.Function.Name, "timeout": fctx.Function.Timeout, "deadline": ok, "left_ms": time.Until(deadline).Milliseconds(),
	})
}

func main() {
	switch os.Getenv("INITIALIZER") {
	case "good":
		fc.RegisterInitializerFunction(func(ctx context.Context) {
			fctx, _ := fccontext.FromContext(ctx)
			initialized = "by " + fctx.Credentials.AccessKeyId
		})
	case "bad":
		fc.RegisterInitializerFunction(func(context.Context) { panic("no redis") })
	}
	fc.Start(handle)
}
