// Command bbolt is the judge of what berth-migrate reads and writes: bbolt itself.
//
//	bbolt check FILE            bbolt's own Check; prints OK or every error
//	bbolt dump FILE             the content, as `berth-migrate dump` prints it
//	bbolt churn FILE [flags]    random puts and deletes; creates the file if need be
//
// Built by lab/prepare from Debian's golang-go and golang-github-coreos-bbolt-dev.
package main

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
)

func main() {
	if len(os.Args) < 3 {
		fail("usage: bbolt check|dump|churn FILE [flags]")
	}
	// bbolt panics at damage that it happens to see.
	defer func() {
		if problem := recover(); problem != nil {
			fail("panic: %v", problem)
		}
	}()
	command, file, flags := os.Args[1], os.Args[2], os.Args[3:]
	switch command {
	case "check":
		check(file)
	case "dump":
		dump(file)
	case "churn":
		churn(file, flags)
	default:
		fail("unknown command %s", command)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func open(file string, options bolt.Options) *bolt.DB {
	options.Timeout = 10 * time.Second
	db, err := bolt.Open(file, 0o600, &options)
	must(err)
	return db
}

func check(file string) {
	db := open(file, bolt.Options{ReadOnly: true})
	errors := 0
	must(db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			fmt.Println(err)
			errors++
		}
		return nil
	}))
	if errors > 0 {
		os.Exit(1)
	}
	fmt.Println("OK")
}

func dump(file string) {
	db := open(file, bolt.Options{ReadOnly: true})
	root := object{}
	must(db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			root[text(name)] = network(b)
			return nil
		})
	}))
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	must(encoder.Encode(root))
}

type object map[string]any

// The sequence is named like no key.
func begin(b *bolt.Bucket) object {
	if b.Sequence() == 0 {
		return object{}
	}
	return object{"hex:": strconv.FormatUint(b.Sequence(), 10)}
}

// Podman's shape, and what state-migrate/src/ipam/dump.rs says of all else.
func network(b *bolt.Bucket) object {
	parts, subnets, values := begin(b), object{}, object{}
	must(b.ForEach(func(key, value []byte) error {
		switch {
		case value != nil:
			values[text(key)] = text(value)
		case string(key) == "ids":
			parts["ids"] = entries(b.Bucket(key), func(id, value []byte) (string, any) {
				return text(id), addresses(value)
			})
		default:
			subnets[text(key)] = entries(b.Bucket(key), lease)
		}
		return nil
	}))
	if len(subnets) > 0 {
		parts["subnets"] = subnets
	}
	if len(values) > 0 {
		parts["values"] = values
	}
	return parts
}

func entries(b *bolt.Bucket, read func(key, value []byte) (string, any)) object {
	all := begin(b)
	must(b.ForEach(func(key, value []byte) error {
		name, entry := read(key, value)
		if value == nil {
			entry = entries(b.Bucket(key), plain)
		}
		all[name] = entry
		return nil
	}))
	return all
}

func plain(key, value []byte) (string, any) { return text(key), text(value) }

func lease(key, value []byte) (string, any) {
	if string(key) == "lastIP" {
		if address, ok := netip.AddrFromSlice(value); ok {
			return "lastIP", address.String()
		}
		return "lastIP", inHex(value)
	}
	if address, ok := netip.AddrFromSlice(key); ok {
		return address.String(), text(value)
	}
	return inHex(key), text(value)
}

func addresses(value []byte) any {
	var list []string
	if json.Unmarshal(value, &list) != nil || list == nil {
		return text(value)
	}
	again, err := json.Marshal(list)
	if err != nil || string(again) != string(value) {
		return text(value)
	}
	return list
}

func text(bytes []byte) string {
	if utf8.Valid(bytes) && !strings.HasPrefix(string(bytes), "hex:") {
		return string(bytes)
	}
	return inHex(bytes)
}

func inHex(bytes []byte) string { return "hex:" + hex.EncodeToString(bytes) }

// churn makes a file such as no well-behaved program does, but any could.
func churn(file string, arguments []string) {
	flags := flag.NewFlagSet("churn", flag.ExitOnError)
	pageSize := flags.Int("page-size", 0, "of a new file")
	freelist := flags.String("freelist", "array", "array, hashmap or none")
	seed := flags.Int64("seed", 1, "of the random choices")
	commits := flags.Int("commits", 20, "how many transactions")
	puts := flags.Int("puts", 50, "puts and deletes per transaction")
	deep := flags.Int("deep", 3, "how deep buckets are nested")
	large := flags.Int("large", 20000, "the longest value")
	must(flags.Parse(arguments))
	options := bolt.Options{PageSize: *pageSize, NoFreelistSync: *freelist == "none"}
	if *freelist == "hashmap" {
		options.FreelistType = bolt.FreelistMapType
	}
	db := open(file, options)
	random := rand.New(rand.NewSource(*seed))
	for commit := 0; commit < *commits; commit++ {
		must(db.Update(func(tx *bolt.Tx) error {
			// Some networks, each with a bucket that Podman would have.
			network, err := tx.CreateBucketIfNotExists([]byte{byte('a' + random.Intn(5))})
			must(err)
			ids, err := network.CreateBucketIfNotExists([]byte("ids"))
			must(err)
			change(ids, random, *puts, 0, *large)
			subnet, err := network.CreateBucketIfNotExists([]byte("10.1.0.0/16"))
			must(err)
			change(subnet, random, *puts, *deep, *large)
			if random.Intn(20) == 0 {
				gone := []byte{byte('a' + random.Intn(5))}
				if tx.Bucket(gone) != nil {
					must(tx.DeleteBucket(gone))
				}
			}
			return nil
		}))
	}
	must(db.Close())
	check(file)
}

func change(b *bolt.Bucket, random *rand.Rand, puts, deep, large int) {
	// Now and then mostly deletes, so that trees shrink as well.
	deletes := []int{2, 2, 8}[random.Intn(3)]
	for put := 0; put < puts; put++ {
		key := key(random)
		switch {
		case random.Intn(10) < deletes:
			// Whatever comes next in the bucket.
			if found, value := b.Cursor().Seek(key); found != nil && value != nil {
				must(b.Delete(found))
			} else if found != nil {
				must(b.DeleteBucket(found))
			}
		case deep > 0 && random.Intn(puts) == 0:
			if b.Get(key) == nil {
				within, err := b.CreateBucketIfNotExists(key)
				must(err)
				must(within.SetSequence(uint64(random.Intn(3))))
				change(within, random, puts/2, deep-1, large)
			}
		case b.Bucket(key) == nil:
			must(b.Put(key, value(random, large)))
		}
	}
}

func key(random *rand.Rand) []byte {
	switch random.Intn(8) {
	case 0:
		key := make([]byte, 1+random.Intn(40))
		random.Read(key)
		return key
	case 1:
		return []byte("lastIP")
	case 2:
		key := make([]byte, 32)
		random.Read(key)
		return []byte(hex.EncodeToString(key))
	default:
		return []byte{10, 1, byte(random.Intn(4)), byte(random.Intn(256))}
	}
}

func value(random *rand.Rand, large int) []byte {
	length := []int{0, 4, 16, 64, 64, 64, 64, 64}[random.Intn(8)]
	if random.Intn(50) == 0 {
		length = random.Intn(large)
	}
	value := make([]byte, length)
	random.Read(value)
	if length == 64 {
		copy(value, hex.EncodeToString(value[:32]))
	}
	return value
}
