package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist/crawler"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enrich/networks"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/riskcontrol"
)

// openList opens the list, and beside it what refresh-intel has left there. It makes no call.
func openList(ctx context.Context, cfg config) (intelstore.List, error) {
	list, err := redisstore.Open(ctx, cfg.RedisURL.Reveal())
	if err != nil {
		return intelstore.List{}, err
	}
	intel, err := intelstore.Open(ctx, cfg.RedisURL.Reveal(), time.Now)
	if err != nil {
		return intelstore.List{}, err
	}
	return intelstore.List{Store: list, Ranges: intel}, nil
}

// known is a set of feeds as detect asks for it; none at all is no error.
func known(set *threatintel.Set, err error) (detect.Intelligence, error) {
	if err != nil || set == nil {
		return nil, err
	}
	return set, nil
}

// enrich gives the runner what the deployment has chosen to know more by.
func enrich(r *detect.Runner, cfg config) error {
	if cfg.CrawlerDNS {
		v, err := crawler.New(crawler.Config{Resolver: net.DefaultResolver, Clock: time.Now})
		if err != nil {
			return err
		}
		r.Crawlers = crawlers{v}
	}
	if len(cfg.Networks) > 0 {
		table, err := networks.Open(cfg.Networks...)
		if err != nil {
			return err
		}
		r.Network = func(addr netip.Addr) string {
			asn, name, _ := table.Network(addr)
			if asn == 0 {
				return ""
			}
			return "AS" + strconv.FormatUint(uint64(asn), 10) + " " + name
		}
	}
	return nil
}

// crawlers is reverse DNS as detect asks it: that an address is no crawler is an answer.
type crawlers struct{ verifier *crawler.Verifier }

func (c crawlers) Verify(ctx context.Context, addr netip.Addr) (string, error) {
	name, err := c.verifier.Verify(ctx, addr)
	if errors.Is(err, crawler.ErrNot) {
		return "", nil
	}
	return name, err
}

// notifier tells the risk-control service which accounts are blocked; *riskcontrol.Notifier.
// It is nil where none is configured.
func notifier(cfg config, list intelstore.List) (accounts, error) {
	if cfg.RiskURL == "" {
		return nil, nil
	}
	return riskcontrol.New(riskcontrol.Config{
		URL: cfg.RiskURL, Secrets: cfg.RiskSecrets, List: list, Memory: list, Allowlist: list.Allowlist, Clock: time.Now,
	})
}
