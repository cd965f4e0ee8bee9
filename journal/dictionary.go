package journal

// dictionary1 is what records have in common, so that even a short one packs well: the nearer to the end, the more common. It may
// never change, for what is stored needs it to be read; a better one is another way of packing.
const dictionary1 = `"list_id":"News <news.","faults":["pregreet"],"faults":["not-smtp"],"faults":["bare-lf"],"end":"aborted","end":"lost","end":"unknown",` +
	`"reply":{"code":554,"text":"5.5.0 "},"end":"none","reply":{"code":421,"text":"4.7.0 "},"proto":"UTF8SMTPS","proto":"SMTP","sender":"",` +
	`"tls":"TLS 1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384","tls":"TLS 1.3 TLS_AES_256_GCM_SHA384","tls":"TLS 1.3 TLS_CHACHA20_POLY1305_SHA256",` +
	`{"check":"helo","stage":"helo","outcome":"pass","status":{"s":7,"d":1},"facts":[{"k":"helo","v":"mail.` +
	`{"check":"senderdomain","stage":"mail","outcome":"pass","status":{"s":1,"d":8},"facts":[{"k":"domain","v":"` +
	`"},{"k":"mx","v":"true"}],"took_ns":{"check":"pregreet","stage":"connect","outcome":"pass","facts":[{"k":"waited","v":"` +
	`{"check":"headers","stage":"data","outcome":"pass","status":{"s":6,"d":0},"facts":[{"k":"received","v":"2"}],"took_ns":` +
	`"outcome":"temperror","outcome":"permerror","outcome":"neutral","outcome":"skipped","outcome":"exempt","facts":[{"k":"error","v":"` +
	`"outcome":"fail","status":{"s":7,"d":23},"text":"SPF:  is not allowed to send for  is probably not allowed to send for  does not say whether ` +
	` has no record","outcome":"softfail","outcome":"none","result":"none","result":"softfail","result":"fail",{"k":"helo_result","v":"` +
	`Greylisted: please try again in 5 minutes","code":451,"outcome":"first","outcome":"early","outcome":"known","verdict":"deferred","by":"greylist","mode":"enforce",` +
	`"reply":{"code":451,"text":"4.7.1 Greylisted: please try again in "},"would":"defer","would_by":"greylist"}],` +
	`"txt","v":"https://www.spamhaus.org/query/ip/ is listed at zen.spamhaus.org","facts":[{"k":"zone","v":"zen.spamhaus.org 127.0.0.2 weight 5"},` +
	`{"k":"clear","v":"list.dnswl.org"},{"k":"score","v":"5 of 5"}],"outcome":"listed","zone","v":"bl.spamcop.net 127.0.0.2 weight ` +
	`"verdict":"rejected","by":"dnsbl","mode":"enforce","where":"gatepost.toml:","reply":{"code":550,"text":"5.7.1 ; see postmaster@` +
	`"verdict":"rejected","by":"relay","reply":{"code":550,"text":"5.7.1 Relaying denied","verdict":"tagged","by":"` +
	`"would":"reject","would_by":"dmarc","intended":{"code":550,"text":"5.7.1 "mode":"monitor","would_by":"spf","would_by":"dnsbl",` +
	`"verdict":"rejected","by":"backend","reply":{"code":550,"text":"5.1.1 \u003c\u003e: <>: Recipient address rejected: User unknown in virtual mailbox table` +
	` User unknown in local recipient table"},"would":"none","backend":"main","backend_reply":{"code":550,"text":"5.1.1 <` +
	`{"check":"dmarc","stage":"data","outcome":"fail-reject","status":{"s":7,"d":1},"text":"Neither SPF nor DKIM proves that this message is from , whose DMARC policy is ` +
	`quarantine","text":"The author's domain  has no DMARC policy","outcome":"pass","status":{"s":7,"d":1},"text":"SPF or DKIM proves that this message is from ` +
	`","facts":[{"k":"author","v":"` + `"},{"k":"policy","v":"reject"},{"k":"record","v":"v=DMARC1; p=reject; rua=mailto:dmarc@` +
	`"}],"auth":[{"method":"dmarc","result":"pass","props":[{"k":"header.from","v":"` + `"},{"k":"policy.dmarc","v":"none"},{"k":"policy.dmarc","v":"reject"}]}],"took_ns":` +
	`{"check":"dkim","stage":"data","outcome":"pass","status":{"s":7,"d":20},"text":"DKIM: the signature of  is good","facts":[{"k":"signature","v":"pass d=` +
	` s=default s=selector1 a=rsa-sha256"},{"k":"signatures","v":"1 of 1"}],"auth":[{"method":"dkim","result":"pass","props":[{"k":"header.d","v":"` +
	`"},{"k":"header.s","v":"` + `"},{"k":"header.a","v":"rsa-sha256"},{"k":"header.b","v":"` + `"}]}],"took_ns":` +
	`{"time":"2026-11-20T","ref":"","session":"","listener":"smtp","client":"2001:db8:","client_name":"mail.","helo":"mail.","proto":"ESMTPS",` +
	`"tls":"TLS 1.3 TLS_AES_128_GCM_SHA256","sender":"bounce-","size":,"message_id":"<@mail.gmail.com>","from_domain":"` +
	`.com","recipients":[{"address":"@example.com","verdict":"accepted","findings":[{"check":"greylist","stage":"rcpt","outcome":"known","status":{"s":7,"d":1},` +
	`"facts":[{"k":"client","v":"` + `"},{"k":"sender","v":"` + `"},{"k":"recipient","v":"` + `"},{"k":"because","v":"spf:none"},{"k":"waited","v":"0s"},` +
	`{"k":"mails","v":"` + `"},{"k":"wait","v":"5m0s"}],"took_ns":],"reply":{"code":250,"text":"2.0.0 Ok: queued as 4"},"would":"none","backend":"main",` +
	`"backend_reply":{"code":250,"text":"2.1.5 Ok"}},{"address":"` + `"}],` +
	`"findings":[{"check":"ratelimit","stage":"connect","outcome":"pass","facts":[{"k":"connections","v":"1 of 60/1m0s"},{"k":"messages","v":"1 of 100/1h0m0s"}],"took_ns":},` +
	`{"check":"rdns","stage":"connect","outcome":"pass","status":{"s":7,"d":25},"text":"` + `","facts":[{"k":"name","v":"` +
	`"}],"auth":[{"method":"iprev","result":"pass","props":[{"k":"policy.iprev","v":"` + `"}]}],"took_ns":},` +
	`{"check":"dnsbl","stage":"connect","outcome":"pass","status":{"s":7,"d":1},"facts":[{"k":"clear","v":"zen.spamhaus.org,list.dnswl.org"},{"k":"score","v":"0 of 5"}],"took_ns":},` +
	`{"check":"spf","stage":"mail","outcome":"pass","status":{"s":7,"d":23},"text":"SPF:  may send for ","facts":[{"k":"identity","v":"mailfrom"},{"k":"domain","v":"` +
	`"},{"k":"client","v":"` + `"},{"k":"record","v":"v=spf1 mx a ip4: ip6: include:_spf.google.com include:spf.protection.outlook.com ~all -all"},{"k":"matched","v":"include:` +
	`"},{"k":"lookups","v":"3"}],"auth":[{"method":"spf","result":"pass","props":[{"k":"smtp.mailfrom","v":"` + `"}]}],"took_ns":},` +
	`{"check":"size","stage":"data","outcome":"pass","status":{"s":3,"d":4},"facts":[{"k":"size","v":"` + `"}],"took_ns":}],` +
	`"end":"refused","end":"delivered","policy":"` + `","took_ns":`
