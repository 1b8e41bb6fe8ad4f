package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/declared"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/shared/functiontest"
)

const invokeText = `Builds functions/FUNCTION as it is deployed, starts it, hands it the event through the runtime API of
its cloud (AWS Lambda's or Function Compute's), and prints its answer. What sam local invoke and
s local invoke do, without Docker.

The function gets the environment variables that template.yaml or s.yaml declares for it, and no
others: their declared values (parameter defaults; ${env('X')} from your environment; empty where
only the cloud knows), or yours where your environment has a variable of the same name, or those of
--env-vars: {"NAME":"value"} or, as sam has it, {"FunctionLogicalId":{…}} or {"Parameters":{…}}.

As the cloud would, this command also hands it credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
and AWS_SESSION_TOKEN, or ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET and …_SECURITY_TOKEN, of your environment) and, for
stand-ins, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_WAFV2 and AWS_ENDPOINT_URL_STS. Its waiting is left
out (WAIT=0) unless you set WAIT: somebody is watching.

The answer goes to standard output, the function's own log to standard error. The exit code is 1 when
the function returns an error.`

// maxEventBytes is more than either runtime takes, so that the runtime's own message is the one that is seen.
const maxEventBytes = 8 << 20

func runInvoke(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("invoke FUNCTION -e FILE [--env-vars FILE]", invokeText)
	var event string
	fs.StringVar(&event, "e", "", "the event, a JSON `FILE` (\"-\" is standard input); events/ has one for each trigger")
	fs.StringVar(&event, "event", "", "the same")
	envVars := fs.String("env-vars", "", "a JSON `FILE` with values for declared variables")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usagef("no function is named: want a folder of functions/")
	case len(rest) > 1:
		return usagef("argument %q: want one function", rest[1])
	case event == "":
		return usagef("-e is missing: want the file of an event, such as events/detect.timer.json")
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	payload, err := a.readAll(event, maxEventBytes)
	if err != nil {
		return err
	}
	f, err := declared.Load(root, rest[0], a.lookup)
	if err != nil {
		return usageError{err}
	}
	env, err := a.invokeEnv(f, *envVars)
	if err != nil {
		return err
	}
	return a.invoke(ctx, root, f, env, payload)
}

// waitVariable is how long a function stays after its work to be quick with what comes
// next. Whoever invokes it by hand is waiting for its answer.
const waitVariable = "WAIT"

// invokeEnv puts the function's variables together and says which of them nobody gave a value.
func (a *app) invokeEnv(f declared.Function, file string) (map[string]string, error) {
	own := map[string]string{}
	for name := range f.Env {
		if v, ok := a.lookup(name); ok {
			own[name] = v
		}
	}
	if file != "" {
		text, err := a.readAll(file, maxEventBytes)
		if err != nil {
			return nil, err
		}
		given, err := readEnvVars(text, f.Name, f.Folder)
		if err != nil {
			return nil, usagef("--env-vars %s: %w", file, err)
		}
		for name, v := range given {
			own[name] = v
		}
	}
	env, undeclared := f.With(own)
	if _, declared := f.Env[waitVariable]; declared && own[waitVariable] == "" {
		env[waitVariable] = "0"
	}
	if len(undeclared) > 0 {
		return nil, usagef("--env-vars %s: %s: not declared for %s, so the cloud would not pass it either", file, strings.Join(undeclared, ", "), f.Folder)
	}
	for _, name := range f.Unresolved {
		if _, ok := own[name]; !ok {
			fmt.Fprintf(a.stderr, "tracewall invoke: %s is empty: its declared value is known only when deployed; set it in the environment\n", name)
		}
	}
	return env, nil
}

// readEnvVars reads sam's file of variables: flat, by function, or for all functions under Parameters.
func readEnvVars(text []byte, names ...string) (map[string]string, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	out := map[string]string{}
	read := func(fields map[string]json.RawMessage) error {
		for name, raw := range fields {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return err
			}
			switch v := v.(type) {
			case string:
				out[name] = v
			case float64, bool:
				out[name] = string(raw)
			case map[string]any:
			default:
				return fmt.Errorf("%s: want a text", name)
			}
		}
		return nil
	}
	if err := read(top); err != nil {
		return nil, err
	}
	for _, section := range append([]string{"Parameters"}, names...) {
		var inner map[string]json.RawMessage
		if raw, ok := top[section]; ok && json.Unmarshal(raw, &inner) == nil {
			if err := read(inner); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (a *app) invoke(ctx context.Context, root string, f declared.Function, env map[string]string, payload []byte) error {
	line := progress.New(a.stderr)
	line.Say("building functions/" + f.Folder)
	p := localcloud.Program{Folder: f.Folder}
	if f.Cloud == declared.Lambda {
		p.Tags = []string{"lambda.norpc"}
	}
	binary, _, err := localcloud.Build(ctx, root, filepath.Join(root, "build", "local"), p)
	line.Done()
	if err != nil {
		return err
	}
	cfg := functiontest.Config{
		Name: f.Name, Binary: binary, Env: env, Timeout: f.Timeout, Memory: f.Memory, Region: f.Region, Stderr: a.stderr, Prefix: "-",
	}
	start := functiontest.StartFC
	if f.Cloud == declared.Lambda {
		start = functiontest.StartLambda
		cfg.Credentials = a.credentials("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_WAFV2", "AWS_ENDPOINT_URL_STS"} {
			if v, ok := a.lookup(name); ok {
				cfg.Env[name] = v
			}
		}
	} else {
		cfg.Credentials = a.credentials("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
	}
	fn, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer fn.Close()
	answer, err := fn.Invoke(ctx, payload)
	if err != nil {
		return err
	}
	timings := fn.Timings()
	fmt.Fprintf(a.stderr, "tracewall invoke: ready after %s, answered after %s\n", timings.Init.Round(time.Millisecond/10), (timings.Cold - timings.Init).Round(time.Millisecond/10))
	_, err = fmt.Fprintf(a.stdout, "%s\n", strings.TrimRight(string(answer), "\n"))
	return err
}

func (a *app) credentials(id, secret, token string) functiontest.Credentials {
	get := func(name string) string { v, _ := a.lookup(name); return v }
	return functiontest.Credentials{AccessKeyID: get(id), AccessKeySecret: get(secret), SecurityToken: get(token)}
}

// readAll reads a file, or standard input for "-", up to a limit.
func (a *app) readAll(name string, limit int64) ([]byte, error) {
	in, err := a.openFile(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(text)) > limit {
		return nil, usagef("read %s: longer than %d bytes", name, limit)
	}
	return text, nil
}
