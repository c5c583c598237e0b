package smtpclient

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

const editable = "Subject: a\r\nX-Old: b\r\n folded\r\nFrom: x@from.test\r\nx-old: c\r\n\r\nX-Old: body\r\n"

var someEdit = &envelope.Edit{Remove: []string{"x-old"}, Add: []string{"X-New: one", "X-New: two"}}

const edited = "Subject: a\r\nFrom: x@from.test\r\nX-New: one\r\nX-New: two\r\n\r\nX-Old: body\r\n"

// adding is a transport that adds and removes.
func adding(add, remove []string) func(*settings.Settings) {
	return transport("smtp", func(tr *settings.Transport) { tr.HeadersAdd, tr.HeadersRemove = add, remove })
}

func TestHeaderIsEditedOnEveryWayOut(t *testing.T) {
	for _, extensions := range [][]string{{"PIPELINING"}, {"SIZE"}, {"CHUNKING", "PIPELINING"}, {"CHUNKING"}} {
		for _, big := range []bool{false, true} {
			sink := smtptest.Drink(t, smtptest.Options{Extensions: extensions})
			job := newJob(to(sink.Addr()))
			content, want1 := editable, edited
			if big {
				content += bigContent()
				want1 += bigContent()
			}
			job.Edit = someEdit
			if big {
				f := inFile(t, job, content)
				want(t, newClient(t).Deliver(context.Background(), job, []*os.File{f}).Outcomes, "delivered 250 2.0.0")
			} else {
				setContent(job, content)
				want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
			}
			if got := sink.Mails()[0].Content; got != want1 {
				t.Errorf("%v, big %v: %.200q", extensions, big, got)
			}
		}
	}
}

func TestTransportsOwnEditComesAfterTheJobs(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, adding([]string{"X-Left: {sender} for {recipient} at {domain}, {local_part}"}, []string{"X-NEW", "From"}))
	job := newJob(to(sink.Addr()))
	job.Edit = someEdit
	setContent(job, editable)
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	const left = "Subject: a\r\nX-Left: sender@from.test for rcpt@to.test at to.test, rcpt\r\n\r\nX-Old: body\r\n"
	if got := sink.Mails()[0].Content; got != left {
		t.Errorf("%q", got)
	}
}

func TestPlaceholdersOfAnAddressAreNotFilledInAgain(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, adding([]string{"X-Left: {recipient}"}, nil))
	want(t, deliver(t, c, newJob(to(sink.Addr()), "{sender}@to.test")), "delivered 250 2.0.0")
	if got := sink.Mails()[0].Content; !strings.Contains(got, "X-Left: {sender}@to.test\r\n") {
		t.Errorf("%q", got)
	}
}

func TestRecipientPlaceholderWithSeveralRecipientsWaits(t *testing.T) {
	c := newClient(t, adding([]string{"X-Left: {recipient}"}, nil))
	outs := deliver(t, c, newJob(to(nobody(t)), "a@to.test", "b@to.test"))
	want(t, outs, "deferred internal 4.3.0", "deferred internal 4.3.0")
	if !strings.Contains(outs[0].Text.ForLog(), "max_recipients = 1") {
		t.Error(outs[0].Text.ForLog())
	}
}

func TestSizeIsThatOfTheEditedMessage(t *testing.T) {
	srv := smtptest.Play(t, hello("SIZE")+"C: MAIL FROM:<sender@from.test> SIZE="+strconv.Itoa(len(edited))+"\nS: 250 ok\nC: RCPT TO:<rcpt@to.test>\nS: 250 ok\nC: DATA\nS: 354 go\nDATA\nS: 250 2.0.0 ok")
	job := newJob(to(srv.Addr()))
	job.Edit = someEdit
	setContent(job, editable)
	want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
}

func TestTheJobsOwnContentStaysAsItCame(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	job := newJob(to(sink.Addr()))
	job.Edit = someEdit
	setContent(job, editable)
	for range 2 {
		want(t, deliver(t, c, job), "delivered 250 2.0.0")
	}
	if string(job.Content.Inline) != editable || sink.Mails()[1].Content != edited {
		t.Error("changed by the first delivery")
	}
}

func TestEditDecidesWhatTheServerMustTake(t *testing.T) {
	long := "X-Long: " + strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name, content string
		change        func(*proto.RemoteJob)
		want          string
	}{
		{"8-bit field removed", "X-Old: \xc3\xa9\r\nContent-Type: image/x\r\n\r\nbody\r\n", func(j *proto.RemoteJob) { j.Has8Bit = true; j.UTF8 = true }, "delivered 250 2.0.0"},
		{"8-bit body stays", "X-Old: \xc3\xa9\r\nContent-Type: image/x\r\n\r\nbody \xc3\xa9\r\n", func(j *proto.RemoteJob) { j.Has8Bit = true }, "failed content 5.6.3"},
		{"long line removed", "X-Old: " + long + "\r\nSubject: a\r\n\r\nbody\r\n", func(j *proto.RemoteJob) { j.LongLine = true }, "delivered 250 2.0.0"},
		{"long line stays", "X-Old: " + long + "\r\nSubject: a\r\n\r\n" + long + "\r\n", func(j *proto.RemoteJob) { j.LongLine = true }, "failed content 5.6.0"},
		{"8-bit field added", "Subject: a\r\n\r\nbody\r\n", func(j *proto.RemoteJob) { j.Edit = &envelope.Edit{Add: []string{"X-New: \xc3\xa9"}} }, "failed content 5.6.7"},
		{"too long a field added", "Subject: a\r\n\r\nbody\r\n", func(j *proto.RemoteJob) { j.Edit = &envelope.Edit{Add: []string{long}} }, "deferred internal 4.3.0"},
		{"header too big", strings.Repeat("X-Old: y\r\n", 3000) + "\r\nbody\r\n", func(*proto.RemoteJob) {}, "failed content 5.6.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"PIPELINING"}})
			job := newJob(to(sink.Addr()))
			job.Edit = someEdit
			setContent(job, tt.content)
			tt.change(job)
			want(t, deliver(t, newClient(t), job), tt.want)
		})
	}
}

func TestEditedMessageIsConvertedTo7Bit(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"PIPELINING"}})
	job := newJob(to(sink.Addr()))
	job.Edit, job.Has8Bit = someEdit, true
	setContent(job, "X-Old: a\r\nSubject: b\r\n\r\n\xc3\xa9\r\n")
	want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
	got := sink.Mails()[0].Content
	if strings.Contains(got, "X-Old") || !strings.Contains(got, "X-New: one\r\n") || !strings.HasSuffix(got, "\r\n\r\n=C3=A9\r\n") {
		t.Errorf("%q", got)
	}
}

func TestOddHeadersAreEdited(t *testing.T) {
	edit := &envelope.Edit{Add: []string{"X-New: one"}}
	for in, out := range map[string]string{
		"\r\nbody\r\n":      "X-New: one\r\n\r\nbody\r\n",
		"Subject: a\r\n":    "Subject: a\r\nX-New: one\r\n",
		"A: b\r\n\r\n.\r\n": "A: b\r\nX-New: one\r\n\r\n.\r\n",
	} {
		sink := smtptest.Drink(t, smtptest.Options{})
		job := newJob(to(sink.Addr()))
		job.Edit = edit
		setContent(job, in)
		want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
		if got := sink.Mails()[0].Content; got != out {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestHeaderOfALargeMessageIsFoundAtEveryLength(t *testing.T) {
	for _, n := range []int{firstRead - 40, firstRead - 12, firstRead - 11, firstRead - 10, firstRead - 9, firstRead - 8, firstRead, 4*firstRead - 10, 500 << 10} {
		content := "A: " + strings.Repeat("x\r\n\t", n/4) + "y\r\nX-Old: b\r\n\r\nbody\r\n"
		c := content
		job := newJob(nil)
		f := inFile(t, job, c)
		text, err := contentOf(&job.Content, []*os.File{f})
		if err != nil {
			t.Fatal(err)
		}
		h, old, err := text.header(message.DefaultLimits())
		if err != nil || string(old) != strings.TrimSuffix(c, "\r\nbody\r\n") || h.Count("X-Old") != 1 {
			t.Errorf("%d: %d octets of %d, %v", n, len(old), len(c), err)
		}
	}
}
