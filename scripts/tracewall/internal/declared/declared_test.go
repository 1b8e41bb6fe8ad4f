package declared_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/declared"
)

const template = `
Transform: AWS::Serverless-2016-10-31
Parameters:
  SyncMode: {Type: String, Default: observe}
  SetSize: {Type: Number, Default: 5000}
  WebAclName: {Type: String}
Resources:
  Other: {Type: "AWS::SQS::Queue"}
  SyncAwsWafFunction:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 300
      MemorySize: 512
      Environment:
        Variables:
          PLAIN: "007"
          NUMBER: 42
          SYNC_MODE: !Ref SyncMode
          SUB: !Sub "${SetSize} in ${AWS::Region}, ${!Literal}"
          NO_DEFAULT: !Sub "acl ${WebAclName}"
          JOINED: !If [A, b, !Ref SyncMode]
`

const serverlessDevs = `
edition: 3.0.0
vars:
  region: "${env('REGION', 'cn-hangzhou')}"
  loop: ${vars.loop}
resources:
  detect:
    component: fc3
    props:
      region: ${vars.region}
      functionName: sls-ops-tracewall-detect
      timeout: 180
      memorySize: 1024
      environmentVariables:
        SLS_ENDPOINT: ${vars.region}-intranet.log.aliyuncs.com # public from elsewhere
        MODE: "${env('MODE', 'observe')}"
        EMPTY: "${env('EMPTY', '')}"
        SECRET: "${env('SECRET')}"
        RULES: "${file('./rules.json')}"
        OUTSIDE: "${file('../rules.json')}"
        LOOP: ${vars.loop}
        OTHER: ${config('AccountID')}
`

func TestTheDeploymentFilesSayWhatAFunctionGets(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"template.yaml": template, "s.yaml": serverlessDevs, "rules.json": "{\"a\":\"b\"}\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"MODE": "enforce", "AWS_REGION": "eu-west-1"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	all, err := declared.All(root, lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]declared.Function{
		"sync-aws-waf": {
			Folder: "sync-aws-waf", Name: "SyncAwsWafFunction", Cloud: declared.Lambda, Region: "eu-west-1", Timeout: 5 * time.Minute, Memory: 512,
			Env: map[string]string{
				"PLAIN": "007", "NUMBER": "42", "SYNC_MODE": "observe", "SUB": "5000 in eu-west-1, ${Literal}", "NO_DEFAULT": "", "JOINED": "",
			},
			Unresolved: []string{"JOINED", "NO_DEFAULT"},
		},
		"detect": {
			Folder: "detect", Name: "sls-ops-tracewall-detect", Cloud: declared.FC, Region: "cn-hangzhou", Timeout: 3 * time.Minute, Memory: 1024,
			Env: map[string]string{
				"SLS_ENDPOINT": "cn-hangzhou-intranet.log.aliyuncs.com", "MODE": "enforce", "EMPTY": "", "SECRET": "", "RULES": `{"a":"b"}`,
				"OUTSIDE": "", "LOOP": "", "OTHER": "",
			},
			Unresolved: []string{"LOOP", "OTHER", "OUTSIDE", "SECRET"},
		},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if _, err := declared.Load(root, "console", lookup); err == nil {
		t.Error("an undeclared function was found")
	}
}

func TestOnlyDeclaredVariablesCanBeOverridden(t *testing.T) {
	f := declared.Function{Env: map[string]string{"A": "1", "B": "2"}}
	env, undeclared := f.With(map[string]string{"B": "3", "Z": "4", "C": "5"})
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "3"}, env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"C", "Z"}, undeclared); diff != "" {
		t.Error(diff)
	}
	if f.Env["B"] != "2" {
		t.Error("the declaration itself was changed")
	}
}

// The project's own files must stay readable for this package.
func TestTheProjectsOwnFilesDeclareItsFunctions(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	all, err := declared.All(root, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for folder, variables := range map[string][]string{
		"detect": {"SLS_ENDPOINT", "REDIS_URL", "MODE"}, "webhook": {"WEBHOOK_TOKEN", "ALERT_RULES"}, "sync-aws-waf": {"REDIS_URL", "WAF_TARGETS", "SYNC_MODE"},
	} {
		f, ok := all[folder]
		if !ok || f.Timeout == 0 || f.Memory == 0 || f.Name == "" {
			t.Errorf("function %s: %+v", folder, f)
		}
		for _, v := range variables {
			if _, ok := f.Env[v]; !ok {
				t.Errorf("function %s has no %s", folder, v)
			}
		}
	}
}
