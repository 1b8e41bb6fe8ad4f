package waftest

import (
	"cmp"
	"slices"
	"strconv"
)

// describeAccess lists entries, the last changed first, page by page: what others write meanwhile moves them.
func (t *Tencent) describeAccess(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		Domain                               string
		Count                                *uint64
		ActionType                           *int64
		VtsMin, VtsMax, CtsMin, CtsMax       *int64
		OffSet, Limit                        *int64
		Source, Sort, Ip                     string //nolint:staticcheck // named as on the wire
		ValidStatus                          *int64
		ValidTimeStampMin, ValidTimeStampMax string
		RuleId                               *uint64 //nolint:staticcheck // named as on the wire
		TimerType                            *int64
		IpList                               []string //nolint:staticcheck // named as on the wire
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if q.Domain == "" || q.Count == nil {
		return nil, tcRefuse("MissingParameter", "The request needs Domain and Count.")
	}
	if t.domains[q.Domain] == nil && q.Domain != "global" {
		return nil, tcRefuse("ResourceNotFound", "There is no domain %q.", q.Domain)
	}
	from, size := int64(0), int64(20)
	if q.OffSet != nil {
		from = *q.OffSet
	}
	if q.Limit != nil {
		size = *q.Limit
	}
	if from < 0 || size < 1 || size > int64(t.opts.AccessPage) || from%size != 0 && !t.opts.AccessOffsetPages {
		return nil, tcRefuse("InvalidParameterValue", "Limit is from 1 to %d, OffSet a multiple of it.", t.opts.AccessPage)
	}
	if t.opts.AccessOffsetPages {
		from *= size
	}
	t.forget()
	now := t.opts.Now()
	var found []*tcEntry
	used := 0
	for _, e := range t.entries {
		if e.domain != q.Domain {
			continue
		}
		used += len(e.ips)
		status := int64(2)
		if e.inForce(now) {
			status = 1
		}
		switch {
		case q.ActionType != nil && *q.ActionType != e.action,
			q.Source != "" && q.Source != e.source,
			q.RuleId != nil && *q.RuleId != e.rule,
			q.Ip != "" && !slices.Contains(e.ips, q.Ip),
			len(q.IpList) > 0 && !slices.ContainsFunc(q.IpList, func(ip string) bool { return slices.Contains(e.ips, ip) }),
			q.ValidStatus != nil && *q.ValidStatus != 0 && *q.ValidStatus != status,
			q.CtsMin != nil && e.created.UnixMilli() < *q.CtsMin, q.CtsMax != nil && e.created.UnixMilli() > *q.CtsMax,
			q.VtsMin != nil && e.until < *q.VtsMin, q.VtsMax != nil && e.until > *q.VtsMax,
			!tcWithin(e.until*1000, q.ValidTimeStampMin, q.ValidTimeStampMax):
			continue
		}
		found = append(found, e)
	}
	slices.SortStableFunc(found, func(a, b *tcEntry) int {
		if c := b.modified.Compare(a.modified); c != 0 {
			return c
		}
		return cmp.Compare(b.rule, a.rule)
	})
	if q.Sort == "ts_version:1" {
		slices.Reverse(found)
	}
	total := int64(len(found))
	page := []map[string]any{}
	for _, e := range found[min(from, total):min(from+size, total)] {
		page = append(page, t.showAccess(e, e.inForce(now)))
	}
	return map[string]any{"Data": map[string]any{"Res": page, "TotalCount": total}, "UsedTotal": used}, nil
}

// tcWithin tells whether n is between two numbers that are written out; "" is no bound.
func tcWithin(n int64, low, high string) bool {
	from, errFrom := strconv.ParseInt(low, 10, 64)
	to, errTo := strconv.ParseInt(high, 10, 64)
	return (errFrom != nil || n >= from) && (errTo != nil || n <= to)
}

func (t *Tencent) showAccess(e *tcEntry, inForce bool) map[string]any {
	ips := []string{}
	for _, ip := range e.ips {
		ips = append(ips, t.form(ip))
	}
	status := 2
	if inForce {
		status = 1
	}
	job, kind := e.job, e.jobType
	if job == nil { // as the console writes what only has an end
		job, kind = &tcJob{Timed: []tcTimed{{0, e.until}}, TimeTZone: "UTC+8"}, "TimedJob"
	}
	return map[string]any{
		"Id": e.id, "ActionType": e.action, "Ip": "", "Note": e.note, "Source": e.source, "TsVersion": e.modified.UnixMilli(), "ValidTs": e.until,
		"ValidStatus": status, "RuleId": e.rule, "IpList": ips, "CreateTime": e.created.UnixMilli(), "JobType": kind, "CronType": "", "JobDateTime": job,
	}
}
