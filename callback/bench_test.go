package callback

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	gojson "github.com/go-json-experiment/json"
)

// wirePacket is the packet as general decoders take it.
type wirePacket struct {
	CallbackCommand string
	PairList        []struct {
		From string `json:"From_Account"`
		To   string `json:"To_Account"`
	}
}

// Decoding beside the general decoders: of three pairs, and of 20,000.
func BenchmarkDecode(b *testing.B) {
	three, err := os.ReadFile("testdata/doc-example.json")
	if err != nil {
		b.Fatal(err)
	}
	var pairs bytes.Buffer
	for i := range 20_000 {
		if i > 0 {
			pairs.WriteByte(',')
		}
		pairs.WriteString(pairOf(fmt.Sprint("from", i), fmt.Sprint("to", i)))
	}
	for _, packet := range []struct {
		name string
		body []byte
	}{{"pairs=3", three}, {"pairs=20000", []byte(packetOf(pairs.String()))}} {
		bench := func(name string, decode func() error) {
			b.Run(packet.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(packet.body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		bench("bare", func() error { // without the Callback around it
			var few [4]Pair
			d := decoder{s: text(packet.body), index: noIndex, pairs: few[:0]}
			if d.packet(); d.problem != nil {
				return d.problem
			}
			return nil
		})
		bench("parse", func() error {
			_, err := Parse(urlCommand, packet.body, time.Time{})
			return err
		})
		bench("go-json-experiment", func() error {
			var p wirePacket
			return gojson.Unmarshal(packet.body, &p)
		})
		bench("encoding-json", func() error {
			var p wirePacket
			return json.Unmarshal(packet.body, &p)
		})
	}
}

func BenchmarkSign(b *testing.B) {
	q := parseQuery("RequestTime=1669872112&Sign=" + Sign("xxxxyyyy", "1669872112"))
	b.ReportAllocs()
	for b.Loop() {
		if !q.signed([]string{"other", "xxxxyyyy"}) {
			b.Fatal("refused")
		}
	}
}

// Asking for every pair of a packet costs about the same for each, however many there are.
func BenchmarkMutual(b *testing.B) {
	for _, n := range []int{15, 200, 20_000} {
		b.Run(fmt.Sprintf("pairs=%d", n), func(b *testing.B) {
			pairs := make([]Pair, n)
			for i := range pairs {
				pairs[i] = Pair{fmt.Sprint("from", i), fmt.Sprint("to", i)}
			}
			for b.Loop() {
				c := &Callback{Pairs: pairs}
				for i := range pairs {
					c.Mutual(i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/pair")
		})
	}
}

// BenchmarkHTTP posts the sample of three pairs over n keep-alive connections: to the Handler, with an accept that does nothing,
// and to a bare net/http handler that decodes and answers.
func BenchmarkHTTP(b *testing.B) {
	packet, err := os.ReadFile("testdata/doc-example.json")
	if err != nil {
		b.Fatal(err)
	}
	v, err := NewVerifier([]App{{SdkAppid: appUnsigned}, {SdkAppid: appSigned, Tokens: []string{"token"}}}, VerifierOptions{MaxAge: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	aftermath := NewHandler(v, func(context.Context, *Callback) error { return nil }, HandlerOptions{})
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p wirePacket
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || len(p.PairList) != 3 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, okBody)
	})
	unsigned := "/?SdkAppid=1400000000&CallbackCommand=" + Command + "&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS"
	signed := "/?SdkAppid=1400000001&CallbackCommand=" + Command + "&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS" + signedAt("token", time.Now())
	for _, n := range []int{64, 256} {
		b.Run(fmt.Sprintf("n=%d/bare", n), func(b *testing.B) { benchHTTP(b, &http.Server{Handler: bare}, n, post(unsigned, string(packet))) })
		b.Run(fmt.Sprintf("n=%d/handler", n), func(b *testing.B) {
			benchHTTP(b, NewServer(aftermath, ServerOptions{}), n, post(unsigned, string(packet)))
		})
		b.Run(fmt.Sprintf("n=%d/handler-signed", n), func(b *testing.B) {
			benchHTTP(b, NewServer(aftermath, ServerOptions{}), n, post(signed, string(packet)))
		})
	}
}

func benchHTTP(b *testing.B, s interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}, n int, request string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(ln) }) // what it returns at the end differs between the two
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			r := bufio.NewReader(conn)
			for range (b.N + n - 1 - i) / n {
				if err := once(conn, r, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	for _, conn := range conns {
		conn.Close()
	}
	if err := s.Shutdown(context.Background()); err != nil {
		b.Error(err)
	}
	served.Wait()
}

// once sends a request and reads its answer, with as little work as may be, since the client runs on the same cores.
func once(conn net.Conn, r *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer: %s", line)
		}
		if len(line) == len("\r\n") {
			break
		}
	}
	_, err := r.Discard(len(okBody))
	return err
}
