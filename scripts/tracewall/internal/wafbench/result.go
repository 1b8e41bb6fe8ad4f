package wafbench

import (
	"context"
	"fmt"
	"io"
)

// Result is everything that was measured. Its JSON form is stable; parts that did not run are absent.
type Result struct {
	Addresses  int         `json:"addresses"`
	SetSize    int         `json:"set_size"`
	Cases      []Case      `json:"cases,omitempty"`
	Deployed   *Deployed   `json:"deployed,omitempty"`
	Million    *Million    `json:"million,omitempty"`
	Simulation []Placement `json:"simulation,omitempty"`

	options Options
}

// Measure plays the table of promises and the deployed function.
func Measure(ctx context.Context, o Options) (*Result, error) {
	r := &Result{Addresses: o.Addresses, SetSize: o.SetSize, options: o}
	var err error
	if !o.NoDeployed { // first, while nothing else runs: starts are timed
		if r.Deployed, err = o.benchDeployed(ctx); err != nil {
			return nil, fmt.Errorf("the function as deployed: %w", err)
		}
	}
	if !o.NoTable {
		if r.Cases, err = Table(ctx, o); err != nil {
			return nil, err
		}
	}
	if o.Million {
		if r.Million, err = o.million(ctx); err != nil {
			return nil, fmt.Errorf("a million addresses: %w", err)
		}
	}
	return r, nil
}

// Broken counts what was promised and is not kept.
func (r *Result) Broken() (n int) {
	for _, c := range r.Cases {
		n += len(c.Failed)
	}
	if r.Deployed != nil {
		n += len(r.Deployed.Failed)
	}
	if r.Million != nil {
		n += len(r.Million.Failed)
	}
	return n
}

// Print writes the result for people.
func (r *Result) Print(w io.Writer) {
	if r.Cases != nil {
		r.printTable(w)
	}
	if r.Deployed != nil {
		r.Deployed.print(w)
	}
	if r.Million != nil {
		r.Million.print(w)
	}
	if r.Simulation != nil {
		r.printSimulation(w)
	}
}
