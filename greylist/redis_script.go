package greylist

// The machine of entry.go once more, for Redis, which runs each script as one step. A test holds the two equal.
//
// An entry is a text: "first last passed flags label". KEYS: the client's entry, the triplet's. ARGV: now, delay, window, remember,
// grace, after, excuse (0 or 1), the client's label, the triplet's. The answer is: outcome, wait, waited, mails, the client's entry
// and the triplet's as they are now, "" for none.
const scriptSight = scriptEntries + `
local after, excuse = tonumber(ARGV[6]), ARGV[7] == '1'
local c, t = read(KEYS[1], ARGV[8]), read(KEYS[2], ARGV[9])

local function count()
	if not c then
		c = {first = now, last = 0, passed = 0, flags = CLIENT, label = ARGV[8]}
	end
	if c.passed > 0 and now >= c.last and now - c.last < delay then
		return
	end
	c.passed, c.last = c.passed + 1, now
	if after > 0 and c.passed >= after then
		c.flags = bit.bor(c.flags, KNOWN)
	end
end

local function step()
	if excuse then
		if t and t.passed == 0 then
			t.flags, t.last = bit.bor(t.flags, EXCUSED), now
		end
		return 'early', 0, 0, 0
	end
	if c and bit.band(c.flags, KNOWN + ALLOWED) ~= 0 then
		c.last = now
		return 'known', 0, 0, c.passed
	end
	if not t then
		t = {first = now, last = now, passed = 0, flags = 0, label = ARGV[9]}
		return 'new', delay, 0, 0
	end
	if t.first > now then
		t.first = now
	end
	local waited = now - t.first
	if t.passed == 0 and waited < delay then
		return 'early', delay - waited, waited, 0
	end
	t.passed, t.last, t.flags = t.passed + 1, now, bit.band(t.flags, bit.bnot(EXCUSED))
	count()
	return 'pass', 0, waited, t.passed
end

local outcome, wait, waited, mails = step()
return {outcome, wait, waited, mails, write(KEYS[1], c), write(KEYS[2], t)}
`

// scriptPut merges one entry. ARGV: as before up to grace, then first, last, passed, flags, label.
const scriptPut = scriptEntries + `
local e = read(KEYS[1], ARGV[10])
local first, last, passed, flags = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
if e then
	e.first, e.last, e.passed = math.min(e.first, first), math.max(e.last, last), math.max(e.passed, passed)
	e.flags = bit.bor(e.flags, flags)
else
	e = {first = first, last = last, passed = passed, flags = flags, label = ARGV[10]}
end
write(KEYS[1], e)
return 1
`

// scriptEntries reads and writes entries.
const scriptEntries = `
local CLIENT, KNOWN, ALLOWED, EXCUSED = 1, 2, 4, 8
local now, delay, window, remember, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local was = {}

local function text(e)
	return string.format('%.0f %.0f %.0f %.0f %s', e.first, e.last, e.passed, e.flags, e.label)
end

local function ends(e)
	if bit.band(e.flags, ALLOWED) ~= 0 then
		return nil
	end
	if bit.band(e.flags, CLIENT + KNOWN + EXCUSED) == 0 and e.passed == 0 then
		return e.first + window
	end
	return e.last + remember
end

local function read(key, label)
	local v = redis.call('GET', key)
	if not v then
		return nil
	end
	was[key] = v
	local f, l, p, g, kept = string.match(v, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
	if not f then
		return nil
	end
	if kept == '' then
		kept = label
	end
	local e = {first = tonumber(f), last = tonumber(l), passed = tonumber(p), flags = tonumber(g), label = kept}
	local e_ends = ends(e)
	if e_ends and now > e_ends then
		return nil
	end
	return e
end

local function write(key, e)
	if not e then
		if was[key] then
			redis.call('DEL', key)
		end
		return ''
	end
	local v = text(e)
	if v ~= was[key] then
		local e_ends = ends(e)
		if e_ends then
			redis.call('SET', key, v, 'PX', string.format('%.0f', math.max(1000, e_ends + grace - now)))
		else
			redis.call('SET', key, v)
		end
	end
	return v
end
`
