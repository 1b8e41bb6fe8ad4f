package functiontest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/functiontest"
)

// clouds runs a test on both runtimes: what it says holds for each of them.
func clouds(t *testing.T, test func(t *testing.T, start func(*testing.T, functiontest.Config) (*functiontest.Function, error))) {
	t.Helper()
	for name, runtime := range map[string]func(context.Context, functiontest.Config) (*functiontest.Function, error){
		"lambdafn": functiontest.StartLambda,
		"fcfn":     functiontest.StartFC,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := program(t, name)
			test(t, func(t *testing.T, cfg functiontest.Config) (*functiontest.Function, error) {
				t.Helper()
				if cfg.Binary == "" {
					cfg.Binary = bin
				}
				if cfg.Timeout == 0 {
					cfg.Timeout = 20 * time.Second
				}
				cfg.Name = "fn"
				f, err := runtime(t.Context(), cfg)
				if err == nil {
					t.Cleanup(f.Close)
				}
				return f, err
			})
		})
	}
}

type starter = func(*testing.T, functiontest.Config) (*functiontest.Function, error)

func must(t *testing.T, start starter, cfg functiontest.Config) *functiontest.Function {
	t.Helper()
	f, err := start(t, cfg)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return f
}

func TestEventsAreAnsweredByOneWarmProcess(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		first := invoke(t, f, `{"text":"one <&> \u00e9"}`)
		second := invoke(t, f, `{"text":"two"}`)
		if first.Text != "one <&> é" || second.Text != "two" {
			t.Errorf("answers %q and %q, want what was sent", first.Text, second.Text)
		}
		if first.PID != second.PID {
			t.Errorf("two processes %d and %d, want one", first.PID, second.PID)
		}
		if first.ID == second.ID || len(first.ID) != 36 {
			t.Errorf("request ids %q and %q, want two", first.ID, second.ID)
		}
		if !first.Deadline || first.LeftMS <= 15_000 || first.LeftMS > 20_000 {
			t.Errorf("deadline in %d ms, want just under the timeout of 20 s", first.LeftMS)
		}
		got := f.Timings()
		if got.Init <= 0 || got.Cold <= got.Init || len(got.Warm) != 1 {
			t.Errorf("timings %+v, want init, a longer cold and one warm", got)
		}
		t.Logf("init %v, cold %v, warm %v", got.Init, got.Cold, got.Warm)
	})
}

func TestOneEventAtATime(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				text := fmt.Sprint("event ", i)
				body, err := f.Invoke(t.Context(), fmt.Appendf(nil, `{"text":%q}`, text))
				if err != nil || !strings.Contains(string(body), `"`+text+`"`) {
					t.Errorf("answer to %q: %.80s, %v", text, body, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestErrorsOfTheFunction(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		_, err := f.Invoke(t.Context(), []byte(`{"do":"error","text":"redis is down"}`))
		var fe *functiontest.FunctionError
		if !errors.As(err, &fe) || *fe != (functiontest.FunctionError{Type: "errorString", Message: "redis is down"}) {
			t.Errorf("err = %#v, want the handler's error", err)
		}
		_, err = f.Invoke(t.Context(), []byte(`{"do":"panic","text":"boom"}`))
		if !errors.As(err, &fe) || *fe != (functiontest.FunctionError{Type: "string", Message: "boom"}) {
			t.Errorf("err = %#v, want the panic", err)
		}
		if _, err = f.Invoke(t.Context(), []byte(`no json`)); !errors.As(err, &fe) {
			t.Errorf("err = %#v, want a decoding error", err)
		}
		if got := invoke(t, f, `{"text":"again"}`); got.Text != "again" {
			t.Errorf("after a panic: %+v, want an answer", got)
		}
	})
}

func TestAProcessThatEndsIsAnErrorWithItsLastWords(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		before := invoke(t, f, `{}`)
		_, err := f.Invoke(t.Context(), []byte(`{"do":"exit","text":"last words"}`))
		var ee *functiontest.ExitError
		if !errors.As(err, &ee) || ee.State != "exit status 3" || !strings.Contains(ee.Error(), "last words") {
			t.Errorf("err = %v, want exit status 3 with the last words", err)
		}
		after := invoke(t, f, `{}`)
		if after.PID == before.PID {
			t.Error("the same process answered after it had ended")
		}
		if got := f.Timings(); got.Cold <= 0 || len(got.Warm) != 0 && got.Warm[0] <= 0 {
			t.Errorf("timings %+v", got)
		}
	})
}

func TestAProcessThatCannotStart(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		if _, err := start(t, functiontest.Config{Binary: "/nonexistent/bootstrap"}); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("err = %v, want that there is no such file", err)
		}
	})
	_, err := functiontest.StartLambda(t.Context(), functiontest.Config{Name: "fn", Binary: program(t, "lambdafn"), Env: map[string]string{"BAD_CONFIG": "1"}})
	var ee *functiontest.ExitError
	if !errors.As(err, &ee) || ee.State != "exit status 1" || !strings.Contains(err.Error(), "config: WAF_TARGETS: not set") {
		t.Errorf("err = %v, want the function's complaint", err)
	}
}

func TestAnEventThatTakesTooLongEndsTheProcess(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{Timeout: time.Second})
		before := invoke(t, f, `{}`)
		began := time.Now()
		_, err := f.Invoke(t.Context(), []byte(`{"do":"sleep"}`))
		var fe *functiontest.FunctionError
		if !errors.As(err, &fe) || fe.Type != functiontest.TypeTimeout {
			t.Errorf("err = %v, want a timeout", err)
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("timeout after %v, want 1 s", took)
		}
		if after := invoke(t, f, `{}`); after.PID == before.PID {
			t.Error("the process survived its timeout")
		}
	})
}

func TestACancelledContextEndsTheWaiting(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := f.Invoke(ctx, []byte(`{"do":"sleep"}`)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the context's", err)
		}
		if got := invoke(t, f, `{"text":"next"}`); got.Text != "next" {
			t.Errorf("after a cancelled event: %+v, want an answer to the next", got)
		}
	})
}

func TestCloseEndsAnEventUnderWay(t *testing.T) {
	t.Parallel()
	clouds(t, func(t *testing.T, start starter) {
		f := must(t, start, functiontest.Config{})
		done := make(chan error, 1)
		go func() {
			_, err := f.Invoke(context.WithoutCancel(t.Context()), []byte(`{"do":"sleep"}`))
			done <- err
		}()
		f.Close()
		f.Close()
		if err := <-done; !errors.Is(err, functiontest.ErrClosed) {
			t.Errorf("err = %v, want ErrClosed", err)
		}
		if _, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, functiontest.ErrClosed) {
			t.Errorf("after close: err = %v, want ErrClosed", err)
		}
	})
}

func TestCloseKillsAFunctionThatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{Name: "fn", Binary: program(t, "fcfn")})
	if err != nil {
		t.Fatal(err)
	}
	got := invoke(t, f, `{"do":"deaf"}`)
	began := time.Now()
	f.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("close took %v", took)
	}
	if p, err := os.FindProcess(got.PID); err == nil && p.Signal(syscall.Signal(0)) == nil {
		t.Error("the process is still there after Close")
	}
}

func TestLambdaSeesOnlyWhatLambdaShowsIt(t *testing.T) {
	t.Setenv("AWS_PROFILE", "mine")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	f, err := functiontest.StartLambda(t.Context(), functiontest.Config{
		Name: "sync-aws-waf", Binary: program(t, "lambdafn"), Region: "eu-west-1", AccountID: "123456789012", Memory: 256,
		Env:         map[string]string{"REDIS_URL": "redis://127.0.0.1", "AWS_REGION": "mars-1"},
		Credentials: functiontest.Credentials{AccessKeyID: "AKIA", AccessKeySecret: "s", SecurityToken: "t"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := invoke(t, f, `{}`)
	if want := "arn:aws:lambda:eu-west-1:123456789012:function:sync-aws-waf"; got.ARN != want {
		t.Errorf("arn = %q, want %q", got.ARN, want)
	}
	for _, want := range []string{
		"AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=sync-aws-waf", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"REDIS_URL=redis://127.0.0.1", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=t", "TZ=:UTC",
	} {
		if !slices.Contains(got.Env, want) {
			t.Errorf("environment lacks %q", want)
		}
	}
	for _, v := range got.Env {
		for _, foreign := range []string{"AWS_PROFILE=", "HTTPS_PROXY=", "HOME=", "AWS_REGION=mars-1"} {
			if strings.HasPrefix(v, foreign) {
				t.Errorf("environment has %q", v)
			}
		}
	}
}

func TestLambdaAnswersThatAreTooLargeOrBreakOff(t *testing.T) {
	t.Parallel()
	f, err := functiontest.StartLambda(t.Context(), functiontest.Config{Name: "fn", Binary: program(t, "lambdafn"), Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var fe *functiontest.FunctionError
	if _, err := f.Invoke(t.Context(), []byte(`{"do":"big"}`)); !errors.As(err, &fe) || fe.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("err = %v, want that the answer is too large", err)
	}
	if _, err := f.Invoke(t.Context(), []byte(`{"do":"broken"}`)); !errors.As(err, &fe) || fe.Message != "reader broke" {
		t.Errorf("err = %v, want the reader's error", err)
	}
	if _, err := f.Invoke(t.Context(), make([]byte, 6<<20+1)); err == nil || !strings.Contains(err.Error(), "limit is 6291456") {
		t.Errorf("err = %v, want that the event is too large", err)
	}
}

func TestLambdaWithSIGTERMEnabled(t *testing.T) {
	t.Parallel()
	var out lines
	f, err := functiontest.StartLambda(t.Context(), functiontest.Config{
		Name: "fn", Binary: program(t, "lambdafn"), Env: map[string]string{"SIGTERM": "1"}, Stderr: &out, Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := f.Invoke(t.Context(), []byte(`{"a":1}`)); err != nil || string(body) != `{"a":1}` {
		t.Errorf("answer %s, %v", body, err)
	}
	f.Close()
	if !strings.Contains(out.String(), "fn: told to stop\n") {
		t.Errorf("output %q, want that it was told to stop", out.String())
	}
}

func TestFCSaysWhoCallsAndWithWhichCredentials(t *testing.T) {
	t.Parallel()
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "sls-ops-detect", Binary: program(t, "fcfn"), Timeout: 1500 * time.Millisecond, Region: "cn-beijing", AccountID: "42",
		Credentials: functiontest.Credentials{AccessKeyID: "STS.a", AccessKeySecret: "b", SecurityToken: "c"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := invoke(t, f, `{}`)
	want := answer{
		PID: got.PID, ID: got.ID, LeftMS: got.LeftMS, Deadline: true, Region: "cn-beijing", Account: "42",
		Key: "STS.a", Secret: "b", Token: "c", Name: "sls-ops-detect", Timeout: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
}

func TestFCInitializerRunsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	bin := program(t, "fcfn")
	for _, tc := range []struct {
		name, registered string
		asked            bool
		want, wantErr    string
	}{
		{"asked, it runs before the first event and has credentials", "good", true, "by STS.a", ""},
		{"not asked, it does not run", "good", false, "", ""},
		{"a panic in it fails the start", "bad", true, "", "no redis"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := functiontest.StartFC(t.Context(), functiontest.Config{
				Name: "fn", Binary: bin, Initializer: tc.asked, Timeout: 20 * time.Second,
				Env: map[string]string{"INITIALIZER": tc.registered}, Credentials: functiontest.Credentials{AccessKeyID: "STS.a"},
			})
			if tc.wantErr != "" {
				var fe *functiontest.FunctionError
				if !errors.As(err, &fe) || fe.Message != tc.wantErr {
					t.Fatalf("err = %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := invoke(t, f, `{}`).Initialized; got != tc.want {
				t.Errorf("initialized %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOutputComesInWholeLinesWithAPrefix(t *testing.T) {
	t.Parallel()
	var out, bare lines
	for w, prefix := range map[*lines]string{&out: "", &bare: "-"} {
		f, err := functiontest.StartFC(t.Context(), functiontest.Config{
			Name: "fn", Binary: program(t, "fcfn"), Stderr: w, Prefix: prefix, Timeout: 20 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		invoke(t, f, `{"do":"long"}`)
		f.Close()
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "fn: ") || !strings.HasSuffix(line, "\n") || len(line) > 64<<10+10 {
			t.Errorf("line of %d bytes %.40q…, want the prefix and at most 64 KiB", len(line), line)
		}
	}
	if got := strings.Count(out.String(), "y"); got != 100<<10 {
		t.Errorf("%d bytes of the long line, want all 102400", got)
	}
	if strings.Contains(bare.String(), "fn: ") || !strings.Contains(bare.String(), "FC Invoke Start") {
		t.Errorf("output %.200q, want no prefix", bare.String())
	}
}

func TestBuildSaysWhatTheCompilerSaid(t *testing.T) {
	t.Parallel()
	err := functiontest.Build(t.Context(), ".", "./testdata/nothing", t.TempDir()+"/x")
	if err == nil || !strings.Contains(err.Error(), "testdata/nothing") || !strings.HasPrefix(err.Error(), "build ./testdata/nothing: ") {
		t.Errorf("err = %v, want the compiler's words", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := functiontest.Build(ctx, ".", "./testdata/fcfn", t.TempDir()+"/x"); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want cancelled", err)
	}
}
