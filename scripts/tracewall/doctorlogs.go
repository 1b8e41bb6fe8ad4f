package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/waf"
)

// logsLookback is how far back doctor counts lines.
const logsLookback = 15 * time.Minute

// examineLogs counts the lines of the last minutes where the settings of detect say that the logs are: that
// takes the right to ask, an index with statistics, and the field of the source address if one is named.
func (a *app) examineLogs(ctx context.Context) []checked {
	get := func(name string) string { text, _ := a.lookup(name); return text }
	one := func(name string, state waf.CheckState, format string, args ...any) checked {
		return checked{Kind: "logs", Check: waf.Check{Name: name, State: state, Text: fmt.Sprintf(format, args...)}}
	}
	field := get("FIELD_ADDRESS")
	if field != "" && !detect.ValidField(field) {
		return []checked{one("settings", waf.CheckFail, "FIELD_ADDRESS: want the name of a field")}
	}
	query := "* | select count(1) as n"
	if field != "" {
		query += fmt.Sprintf(`, count(case when cast("%s" as varchar) <> '' then 1 end) as addressed`, field)
	}
	query += " limit 10"
	var all []checked
	ask := func(name, where string, querier detect.Querier, err error) {
		if err != nil {
			all = append(all, one(name, waf.CheckFail, "%v", err))
			return
		}
		now := a.now()
		rows, err := querier.Query(ctx, where, query, now.Add(-logsLookback), now, 0)
		if err == nil && len(rows) != 1 {
			err = errors.New("want one row with a number")
		}
		if err != nil {
			all = append(all, one(name, waf.CheckFail, "count the lines of %s: %v", where, err))
			return
		}
		n, _ := strconv.ParseInt(rows[0]["n"], 10, 64)
		addressed, _ := strconv.ParseInt(rows[0]["addressed"], 10, 64)
		switch {
		case n == 0:
			all = append(all, one(name, waf.CheckWarn, "%s has no line of the last %s: is it the right one?", where, logsLookback))
		case field != "" && addressed == 0:
			all = append(all, one(name, waf.CheckWarn, "%s has %d lines of the last %s and none with the field %s", where, n, logsLookback, field))
		default:
			all = append(all, one(name, waf.CheckOK, "%s has %d lines of the last %s", where, n, logsLookback))
		}
	}
	if logstore := get("SLS_LOGSTORE"); logstore != "" {
		keys := sls.Credentials{
			AccessKeyID: get("ALIBABA_CLOUD_ACCESS_KEY_ID"), AccessKeySecret: get("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), SecurityToken: get("ALIBABA_CLOUD_SECURITY_TOKEN"),
		}
		client, err := sls.New(sls.Config{
			Endpoint: get("SLS_ENDPOINT"), Project: get("SLS_PROJECT"), Region: get("SLS_REGION"),
			Credentials: func(context.Context) (sls.Credentials, error) { return keys, nil },
		})
		if err == nil {
			defer client.Close()
		}
		ask("sls", logstore, client, err)
	}
	if topic := get("CLS_TOPIC"); topic != "" {
		keys := cls.Credentials{
			SecretID: get("TENCENTCLOUD_SECRET_ID"), SecretKey: secret.Secret(get("TENCENTCLOUD_SECRET_KEY")), Token: secret.Secret(get("TENCENTCLOUD_TOKEN")),
		}
		client, err := cls.New(cls.Config{
			Region: get("CLS_REGION"), Endpoint: get("CLS_ENDPOINT"),
			Credentials: func(context.Context) (cls.Credentials, error) { return keys, nil },
		})
		if err == nil {
			defer client.Close()
		}
		ask("cls", topic, client, err)
	}
	return all
}
