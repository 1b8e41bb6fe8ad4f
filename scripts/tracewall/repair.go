package main

import (
	"context"
	"fmt"
	"time"
)

const repairText = `Accepts what is left of a damaged blocklist as the list, when list or sync say that it is damaged: part of it
was lost, evicted or only half restored. Places without an entry are dropped, and the list becomes a new one, so
that each firewall target keeps what it has until tracewall sync aws-waf --adopt-epoch says that it may follow.
Better than this is a backup of Redis. Stop the functions first, or run it again if they wrote meanwhile.

Without --yes it changes nothing and says what to do.`

func runRepair(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("repair --yes", repairText)
	yes := fs.Bool("yes", false, "really do it")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	if !*yes {
		return guardError{fmt.Errorf("nothing was done: this gives up whatever was lost; restore a backup of Redis if there is one, else add --yes")}
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	kept, dropped, err := store.Repair(ctx, a.now().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d entries kept, %d lost ones dropped\n", kept, dropped)
	return nil
}
