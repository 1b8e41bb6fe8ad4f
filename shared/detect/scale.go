package detect

// What a score leads to, for whoever shows one: ChallengeAt or more is a challenge,
// BlockAt or more a block.
const (
	ChallengeAt = challengeAt
	BlockAt     = blockAt
)
