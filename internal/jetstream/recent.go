package jetstream

import "time"

// serverKeeps is how long the embedded server keeps in memory what it has written, where that is read too, and a second for its clock.
const serverKeeps = 11 * time.Second

// recent keeps what is written within that time to a bound, and the last pack: half of it may come at once, and as much in the course of
// the time, so that a flood has its pace slowed and is never stopped for long. It belongs to one goroutine.
type recent struct {
	most  int64   // bytes; 0: no bound
	level float64 // what was written, less what has run out since
	at    time.Time
}

// wrote takes down what was written.
func (r *recent) wrote(now time.Time, bytes int) {
	r.drain(now)
	r.level += float64(bytes)
}

// full gives for how long nothing more should be written; 0 where there is room.
func (r *recent) full(now time.Time) time.Duration {
	r.drain(now)
	half := float64(r.most) / 2
	if r.most == 0 || r.level <= half {
		return 0
	}
	return time.Duration((r.level-half)/half*float64(serverKeeps)) + time.Millisecond
}

func (r *recent) drain(now time.Time) {
	r.level = max(r.level-now.Sub(r.at).Seconds()/serverKeeps.Seconds()*float64(r.most)/2, 0)
	r.at = now
}
