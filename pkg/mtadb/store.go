package mtadb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"filbert/pkg/history"
	"filbert/pkg/proto"
)

const (
	dbName      = "memory"
	damagedName = dbName + ".damaged-"
	// markName is left in a database in which damage was found while it was in use.
	markName = dbName + "/DAMAGED"
	// lockName is there as long as the database is.
	lockName = dbName + "/LOCK"
	layout   = 1

	// The database is asked by few and written in batches: little memory does.
	cacheSize    = 8 << 20
	memTableSize = 4 << 20
	openFiles    = 200
	// format is pinned: a newer Pebble must not make the database one that the
	// program of yesterday can't read.
	format = pebble.FormatWALSyncChunks
)

// store is the open database. Writers hold mu.
type store struct {
	files files
	db    *pebble.DB
	codec *history.Codec

	flushing sync.Mutex // before mu

	mu     sync.Mutex
	counts map[proto.MemoryKind]count
	parts  []part // oldest first; never empty
	dirty  bool   // something was written since the last flush

	inUse  atomic.Bool // it has been opened
	broken func(error) // told what can't be gone on after
}

// count is how much there is of a kind.
type count struct{ records, bytes uint64 }

// errDamaged is wrapped by what openStore says of a database that can't be used.
var errDamaged = errors.New("the database is damaged")

// openStore opens the database, or makes one. broken is called, at any time, with an
// error after which the process must end; it does not return in earnest.
func openStore(root *os.Root, note func(error), broken func(error)) (*store, error) {
	s := &store{files: files{root}, codec: history.NewCodec(), broken: broken}
	if _, err := root.Lstat(markName); err == nil {
		return nil, fmt.Errorf("%w: damage was found while it was in use", errDamaged)
	}
	var err error
	if s.db, err = openPebble(s.files, note, s.fatal); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	s.inUse.Store(true)
	return s, nil
}

func openPebble(fsys files, note, fatal func(error)) (db *pebble.DB, err error) {
	// Some damage makes Pebble panic instead of saying so.
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: open it: %v", errDamaged, p)
		}
	}()
	opts := &pebble.Options{
		FS:                          fsys,
		FormatMajorVersion:          format,
		CacheSize:                   cacheSize,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 3,
		MaxOpenFiles:                openFiles,
		L0CompactionThreshold:       4,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		Logger:                      logger{note, fatal},
		EventListener: &pebble.EventListener{
			BackgroundError: note,
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				fatal(fmt.Errorf("%w: %s: %w", errDamaged, i.Path, i.Details))
			},
		},
	}
	db, err = pebble.Open(dbName, opts)
	if err == nil || isEnvironment(err) {
		return db, err
	}
	// Whatever else keeps it from opening lies in its files.
	return nil, fmt.Errorf("%w: %w", errDamaged, err)
}

// isEnvironment tells errors of the machine, which pass, from those of the database.
func isEnvironment(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return !errors.Is(err, fs.ErrNotExist) // a file of the database that is missing
	}
	return false
}

// logger is where Pebble speaks.
type logger struct{ note, fatal func(error) }

// Infof drops what goes well.
func (logger) Infof(string, ...any) {}

// Errorf tells.
func (l logger) Errorf(format string, args ...any) { l.note(fmt.Errorf(format, args...)) }

// Fatalf ends the process: Pebble counts on it.
func (l logger) Fatalf(format string, args ...any) { l.fatal(fmt.Errorf(format, args...)) }

// fatal leaves word for the next start and ends.
func (s *store) fatal(err error) {
	if errors.Is(err, errDamaged) || pebble.IsCorruptionError(err) {
		if f, ferr := s.files.root.Create(markName); ferr == nil {
			f.Close()
		}
	}
	s.broken(err)
}

// load reads what is held in memory: counters and parts.
func (s *store) load() error {
	v, err := s.get([]byte{keyVersion})
	switch {
	case err != nil:
		return err
	case v == nil:
		if err := s.db.Set([]byte{keyVersion}, []byte{layout}, pebble.NoSync); err != nil {
			return fmt.Errorf("begin the database: %w", err)
		}
	case len(v) != 1 || v[0] != layout:
		return fmt.Errorf("%w: its layout is none that this program knows", errDamaged)
	}
	s.counts = map[proto.MemoryKind]count{}
	for _, kind := range proto.MemoryKinds() {
		v, err := s.get([]byte{keyCount, byte(kind)})
		if err != nil {
			return err
		}
		if len(v) == 16 {
			s.counts[kind] = count{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
		}
	}
	return s.loadParts()
}

// readError is what became of a read. Damage that is found while the database is in use
// ends the process: the next start sets it aside.
func (s *store) readError(err error) error {
	if !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read the database: %w", err)
	}
	err = fmt.Errorf("%w: read it: %w", errDamaged, err)
	if s.inUse.Load() {
		s.fatal(err)
	}
	return err
}

// get reads one key; nil if there is none.
func (s *store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.readError(err)
	}
	defer closer.Close()
	return append(make([]byte, 0, len(v)), v...), nil
}

// each calls f for the keys of a range, in order or backwards, until it returns false.
func (s *store) each(o scan, f func(key, value []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: o.from, UpperBound: o.to})
	if err != nil {
		return s.readError(err)
	}
	step, ok := it.Next, false
	if o.order == backwards {
		step, ok = it.Prev, it.Last()
	} else {
		ok = it.First()
	}
	for ; ok; ok = step() {
		if !f(it.Key(), it.Value()) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return s.readError(err)
	}
	return nil
}

// scan is a range of keys.
type scan struct {
	from, to []byte
	order    order
}

type order int

const (
	forwards order = iota
	backwards
)

func prefixed(prefix []byte) scan { return scan{from: prefix, to: after(prefix)} }

// commitLocked writes a batch, without a flush.
func (s *store) commitLocked(b *pebble.Batch) error {
	if b.Empty() {
		return nil
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	s.dirty = true
	return nil
}

// flush puts on disk what was written since the last time, and waits also for another
// who does. Until then Pebble keeps the end of its journal in the process, where a
// kill takes it.
func (s *store) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = false
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("flush the database: %w", err)
	}
	return nil
}

func (s *store) close() error { return s.db.Close() }

// setAside renames a damaged database. The one before it is removed: a disk that
// damages a database each night must not be filled by them.
func setAside(root *os.Root, now time.Time) (string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return "", err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if strings.HasPrefix(n, damagedName) {
			if err := root.RemoveAll(n); err != nil {
				return "", err
			}
		}
	}
	name := damagedName + now.UTC().Format("20060102T150405")
	return name, root.Rename(dbName, name)
}
