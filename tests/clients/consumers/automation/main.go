// The webhook of an engine for automatic replies and notifications, as a public consumer of Kirimdev's webhooks works: it claims
// each event by its type and id, keeps the statuses of what was sent by WhatsApp's id, and starts flows when contacts and
// conversations change. What it understood it prints, one JSON object a line.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 300 * time.Second
	bodyBytesMax = 1_000_000
)

var (
	secrets = strings.Split(os.Getenv("WEBHOOK_SECRETS"), ",")
	lock    sync.Mutex
	claimed = map[string]bool{}
)

type line map[string]any

func tell(what line) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

// A delivery in Meta's form: what this program reads of it.
type delivery struct {
	Entry []struct {
		Changes []struct {
			Value struct {
				Metadata struct {
					PhoneNumberID string `json:"phone_number_id"`
				} `json:"metadata"`
				Messages []message `json:"messages"`
				Statuses []status  `json:"statuses"`
			} `json:"value"`
		} `json:"changes"`
	} `json:"entry"`
	Kirim struct {
		MessageID string `json:"message_id"`
		Contact   struct {
			PhoneNumber *string `json:"phone_number"`
			UserID      *string `json:"user_id"`
		} `json:"contact"`
	} `json:"kirim"`
}

type message struct {
	ID          string `json:"id"`
	From        string `json:"from"`
	FromUserID  string `json:"from_user_id"`
	Type        string `json:"type"`
	Text        struct{ Body string }
	Interactive struct {
		ButtonReply reply `json:"button_reply"`
		ListReply   reply `json:"list_reply"`
	} `json:"interactive"`
	Button struct{ Payload, Text string }
}

type reply struct{ ID, Title string }

type status struct {
	ID           string  `json:"id"`
	Status       string  `json:"status"`
	RecipientID  string  `json:"recipient_id"`
	CallbackData *string `json:"biz_opaque_callback_data"`
	Errors       []struct {
		Code int `json:"code"`
	} `json:"errors"`
}

// An event in Kirimdev's own form.
type nativeEvent struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Session string `json:"session"`
		Contact struct {
			PhoneNumber *string `json:"phone_number"`
		} `json:"contact"`
		Conversation struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"conversation"`
		Message struct {
			ID         string `json:"id"`
			ProviderID string `json:"provider_id"`
		} `json:"message"`
	} `json:"data"`
}

func isRecent(seconds string) bool {
	number, err := strconv.ParseInt(seconds, 10, 64)
	age := time.Since(time.Unix(number, 0))
	return err == nil && age <= tolerance && age >= -tolerance
}

func sign(key []byte, prefix string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(prefix))
	mac.Write(body)
	return mac.Sum(nil)
}

// `t=<seconds>,v1=<hex>[,v1=<hex>…]`, keyed by the whole text of a secret.
func hasKirimSignature(header http.Header, body []byte) bool {
	seconds, given := "", [][]byte{}
	for _, part := range strings.Split(header.Get("X-Kirim-Signature"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name == "t" {
			seconds = value
		} else if one, err := hex.DecodeString(value); name == "v1" && err == nil {
			given = append(given, one)
		}
	}
	for _, secret := range secrets {
		for _, one := range given {
			if hmac.Equal(one, sign([]byte(secret), seconds+".", body)) {
				return isRecent(seconds)
			}
		}
	}
	return false
}

// Standard Webhooks: `v1,<base64>[ v1,<base64>…]`, keyed by the bytes that a secret encodes.
func hasStandardSignature(header http.Header, body []byte) bool {
	id, seconds := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			continue
		}
		expected := sign(key, id+"."+seconds+".", body)
		for _, part := range strings.Fields(header.Get("Webhook-Signature")) {
			version, text, _ := strings.Cut(part, ",")
			given, err := base64.StdEncoding.DecodeString(text)
			if version == "v1" && err == nil && hmac.Equal(given, expected) {
				return id != "" && isRecent(seconds)
			}
		}
	}
	return false
}

// The first to name an event has it.
func claim(key string) bool {
	lock.Lock()
	defer lock.Unlock()
	first := !claimed[key]
	claimed[key] = true
	return first
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// What a customer said or pressed; flows begin by it.
func command(said message) string {
	switch said.Type {
	case "text":
		return said.Text.Body
	case "interactive":
		return first(said.Interactive.ButtonReply.ID, said.Interactive.ListReply.ID)
	case "button":
		return first(said.Button.Payload, said.Button.Text)
	}
	return ""
}

func readMeta(event, id string, body []byte) error {
	var given delivery
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	if len(given.Entry) == 0 || len(given.Entry[0].Changes) == 0 {
		return fmt.Errorf("a delivery without a change")
	}
	value := given.Entry[0].Changes[0].Value
	switch {
	case event == "message.status" && len(value.Statuses) > 0:
		told := value.Statuses[0]
		code := 0
		if len(told.Errors) > 0 {
			code = told.Errors[0].Code
		}
		tell(line{"status": told.Status, "wamid": told.ID, "recipient": told.RecipientID, "code": code, "event_id": id,
			"callback_data": told.CallbackData, "message": given.Kirim.MessageID})
	case event == "message.received" && len(value.Messages) > 0:
		said := value.Messages[0]
		tell(line{"command": command(said), "wamid": said.ID, "customer": first(said.From, said.FromUserID), "event_id": id,
			"number": value.Metadata.PhoneNumberID, "message": given.Kirim.MessageID,
			"phone_number": given.Kirim.Contact.PhoneNumber, "user_id": given.Kirim.Contact.UserID})
	default:
		return fmt.Errorf("%s without its item", event)
	}
	return nil
}

func readNative(event, id string, body []byte) error {
	var given nativeEvent
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	if given.Type != event || given.ID != id {
		return fmt.Errorf("%s %s says that it is %s %s", event, id, given.Type, given.ID)
	}
	switch event {
	case "contact.created":
		tell(line{"flow": "chat_started", "phone_number": given.Data.Contact.PhoneNumber})
	case "conversation.closed":
		tell(line{"flow": "conversation_closed", "conversation": given.Data.Conversation.ID, "state": given.Data.Conversation.Status})
	case "message.sent":
		tell(line{"sent": given.Data.Message.ID, "wamid": given.Data.Message.ProviderID, "number": given.Data.Session})
	default:
		tell(line{"skipped": event})
	}
	return nil
}

func handle(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyBytesMax))
	if err != nil {
		answer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !hasKirimSignature(request.Header, body) {
		tell(line{"refused": "kirim"})
		answer.WriteHeader(http.StatusUnauthorized)
		return
	}
	if !hasStandardSignature(request.Header, body) {
		tell(line{"refused": "standard"})
		answer.WriteHeader(http.StatusUnauthorized)
		return
	}
	event, id := request.Header.Get("X-Kirim-Event"), request.Header.Get("X-Kirim-Event-Id")
	if !claim(event + ":" + id) {
		tell(line{"duplicate": id})
		return
	}
	read := readNative
	if request.Header.Get("X-Kirim-Source") == "meta" {
		read = readMeta
	}
	if err := read(event, id, body); err != nil {
		tell(line{"failed": err.Error(), "body": string(body)})
		answer.WriteHeader(http.StatusBadRequest)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	tell(line{"listening": listener.Addr().(*net.TCPAddr).Port})
	panic(http.Serve(listener, http.HandlerFunc(handle)))
}
