package redisstore

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// The scripts. Those of a write are sent whole once in each transaction and by
// their hash afterwards, so that no connection needs SCRIPT LOAD and a server that
// restarted is no special case.
var (
	//go:embed lua/begin.lua
	beginLua string
	//go:embed lua/put.lua
	putLua string
	//go:embed lua/remove.lua
	removeLua string
	//go:embed lua/finish.lua
	finishLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/release.lua
	releaseLua string

	putHash    = redis.NewScript(putLua).Hash()
	removeHash = redis.NewScript(removeLua).Hash()
)
