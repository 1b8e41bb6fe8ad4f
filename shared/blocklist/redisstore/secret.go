package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// maxSecrets bounds how often one write asks for the list's secret: only a list that is
// founded anew meanwhile, or two first writers at once, need a second time.
const maxSecrets = 5

// errSecret: the list's secret is not the one that the write was made with. Nothing was written.
var errSecret = errors.New("the list's secret changed")

// knownSecret returns what blocklist.NewJitter takes: 128 random bits that are as old as
// the list and that only writers of the list can read. It differs from the epoch in being
// told to nobody: the epoch stands on walls and in reports. A list that has none gets one
// with the next write.
func (s *Store) knownSecret(ctx context.Context) (string, error) {
	if known := s.secret.Load(); known != nil {
		return *known, nil
	}
	secret, err := s.db.Get(ctx, keySecret).Result()
	if errors.Is(err, redis.Nil) {
		secret, err = nonce(), nil
	}
	if err != nil {
		return "", err
	}
	s.secret.Store(&secret)
	return secret, nil
}
