package waftest

import (
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// What an entry of WAF's access control list does.
const (
	TencentAllow = 40
	TencentBlock = 42
)

// tcForever is the ValidTS of an entry without an end: the last second of 2033 in China, as the console writes it.
const tcForever = 2019571199

// tcEntry is one entry of the access control list: one rule id, and one or more addresses.
type tcEntry struct {
	id       string // of the database, as the console has it
	rule     uint64
	domain   string
	action   int64
	ips      []string
	area     []netip.Prefix
	note     string
	source   string
	until    int64 // seconds, what ValidTS says; jobs count for more
	jobType  string
	job      *tcJob
	created  time.Time
	modified time.Time
}

// tcJob is JobDateTime: when an entry is in force.
type tcJob struct {
	Timed     []tcTimed
	Cron      []tcCron
	TimeTZone string
}

type tcTimed struct{ StartDateTime, EndDateTime int64 }

type tcCron struct {
	Days, WDays        []int64
	StartTime, EndTime string
}

// inForce tells whether an entry acts now. What runs by the week or the month is taken to.
func (e *tcEntry) inForce(now time.Time) bool {
	if e.job != nil && len(e.job.Timed) > 0 {
		return slices.ContainsFunc(e.job.Timed, func(j tcTimed) bool {
			return j.StartDateTime <= now.Unix() && (j.EndDateTime == 0 || now.Unix() < j.EndDateTime)
		})
	}
	return now.Unix() < e.until
}

// end returns when an entry stops to act by itself, in seconds; 0: never.
func (e *tcEntry) end() (end int64) {
	if e.job == nil || len(e.job.Timed) == 0 {
		return e.until
	}
	for _, j := range e.job.Timed {
		if j.EndDateTime == 0 {
			return 0
		}
		end = max(end, j.EndDateTime)
	}
	return end
}

// ended tells whether an entry will never act again.
func (e *tcEntry) ended(now time.Time) bool { return e.end() != 0 && e.end() <= now.Unix() }

// tcAccessRequest is what CreateIpAccessControl and ModifyIpAccessControl ask for.
type tcAccessRequest struct {
	Domain      string
	IpList      []string //nolint:staticcheck // named as on the wire
	ActionType  *int64
	RuleId      *uint64 //nolint:staticcheck // named as on the wire
	ValidTS     *int64
	InstanceId  string //nolint:staticcheck // named as on the wire
	Edition     string
	SourceType  string
	Note        string
	JobType     string
	JobDateTime *tcJob
}

// judgeAccess checks what a request says an entry is to be; the entry that it takes the place of counts for nothing.
func (t *Tencent) judgeAccess(q tcAccessRequest, self *tcEntry) (*tcEntry, *tcError) {
	switch {
	case q.Domain == "":
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `Domain`.")
	case len(q.IpList) == 0:
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `IpList`.")
	case q.ActionType == nil:
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `ActionType`.")
	case *q.ActionType != TencentAllow && *q.ActionType != TencentBlock:
		return nil, tcRefuse("InvalidParameterValue", "The ActionType %d is neither 40 nor 42.", *q.ActionType)
	case q.ValidTS == nil && q.JobDateTime == nil:
		return nil, tcRefuse("MissingParameter", "The request needs ValidTS or JobDateTime.")
	case q.Edition != "" && q.Edition != "sparta-waf" && q.Edition != "clb-waf":
		return nil, tcRefuse("InvalidParameterValue", "The Edition %q is neither sparta-waf nor clb-waf.", q.Edition)
	case q.SourceType != "" && !slices.Contains([]string{"batch", "bot", "cc", "custom"}, q.SourceType):
		return nil, tcRefuse("InvalidParameterValue", "The SourceType %q is none.", q.SourceType)
	case utf8.RuneCountInString(q.Note) > 50:
		return nil, tcRefuse("InvalidParameterValue", "The Note is longer than 50 characters.")
	case (q.JobType == "") != (q.JobDateTime == nil):
		return nil, tcRefuse("InvalidParameterValue", "JobType and JobDateTime go together.")
	case q.JobType != "" && q.JobType != "TimedJob" && q.JobType != "CronJob":
		return nil, tcRefuse("InvalidParameterValue", "The JobType %q is neither TimedJob nor CronJob.", q.JobType)
	}
	quota, refused := t.instance(q)
	if refused != nil {
		return nil, refused
	}
	e := &tcEntry{
		domain: q.Domain, action: *q.ActionType, ips: slices.Clone(q.IpList), note: q.Note, source: q.SourceType,
		jobType: q.JobType, job: q.JobDateTime,
	}
	if e.source == "" {
		e.source = "custom"
	}
	if q.ValidTS != nil {
		e.until = *q.ValidTS
	}
	if e.job == nil && e.until == 0 {
		return nil, tcRefuse("InvalidParameterValue", "The ValidTS is 0.")
	}
	if e.ended(t.opts.Now()) {
		return nil, tcRefuse("InvalidParameterValue", "The end %d has passed.", e.end())
	}
	if e.job != nil && (e.jobType == "CronJob") != (len(e.job.Timed) == 0) {
		return nil, tcRefuse("InvalidParameterValue", "A TimedJob has Timed, a CronJob has Cron.")
	}
	if e.job != nil && len(e.job.Timed)+len(e.job.Cron) > 20 {
		return nil, tcRefuse("LimitExceeded", "At most 20 times.")
	}
	if e.until == 0 {
		if e.until = e.end(); e.until == 0 {
			e.until = tcForever
		}
	}
	if refused := t.judgeAddresses(e, self); refused != nil {
		return nil, refused
	}
	used := len(e.ips)
	for _, other := range t.entries {
		if other.domain == e.domain && other != self {
			used += len(other.ips)
		}
	}
	if used > quota {
		return nil, tcRefuse("FailedOperation.TheNumberOfAddedBlackAndWhiteListExceedsTheUpperLimit", "%s would have %d addresses, its quota is %d.", e.domain, used, quota)
	}
	return e, nil
}

// judgeAddresses reads an entry's addresses.
func (t *Tencent) judgeAddresses(e, self *tcEntry) *tcError {
	if len(e.ips) > t.opts.AccessBatch {
		return tcRefuse("LimitExceeded.SpecificationErr", "An entry takes at most %d addresses.", t.opts.AccessBatch)
	}
	for _, text := range e.ips {
		p, ok := tcPrefix(text)
		if !ok || p.Bits() == 0 {
			return tcRefuse("InvalidParameterValue", "%q is neither an address nor a block without host bits.", text)
		}
		if slices.Contains(e.area, p) {
			return tcRefuse("InvalidParameterValue", "The address %q is there twice.", text)
		}
		if slices.ContainsFunc(t.opts.Refuse, p.Overlaps) {
			return tcRefuse("UnsupportedOperation", "The address %q is not allowed.", text)
		}
		e.area = append(e.area, p)
	}
	if t.opts.AccessRepeats {
		return nil
	}
	for _, other := range t.entries {
		if other == self || other.domain != e.domain || other.action != e.action {
			continue
		}
		for _, p := range e.area {
			if slices.Contains(other.area, p) {
				return tcRefuse("UnsupportedOperation", "The address %s is in entry %d already.", p, other.rule)
			}
		}
	}
	return nil
}
