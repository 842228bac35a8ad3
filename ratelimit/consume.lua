-- Consumes from a sliding window, if that is possible.
--
-- KEYS[1]  the counters: the number of the newest step, then what was consumed
--          in it, in the one before, and so on
-- ARGV     limit, cost, length of a step in microseconds, steps in a window
-- returns  whether it was allowed, what is counted now, microseconds until
--          nothing is counted, microseconds until the call would be allowed
--
-- Time is cut in steps. A window of 12 steps touches 13; all 13 are counted in
-- full, so what a window really holds is never more than what is counted.
local max, cost, step, steps = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local current = math.floor(now / step)

local counts = {} -- by age: 0 is the current step
for age = 0, steps do counts[age] = 0 end
local total, stepped_back = 0, false
local stored = redis.call('GET', KEYS[1])
if stored then
	local age
	for digits in string.gmatch(stored, '%d+') do
		local n = tonumber(digits)
		if not age then
			age = current - n
			stepped_back = age < 0
		else
			-- What lies in the future, after the clock stepped back, happens now.
			if age <= steps then
				local a = math.max(age, 0)
				counts[a] = counts[a] + n
				total = total + n
			end
			age = age + 1
		end
	end
end

-- When what was consumed at an age is no longer counted.
local function leaves(age) return (current - age + steps + 1) * step - now end

local allowed, retry = total + cost <= max, 0
if allowed then
	counts[0] = counts[0] + cost
	total = total + cost
else
	local left = total
	for age = steps, 0, -1 do
		left = left - counts[age]
		if left + cost <= max then
			retry = leaves(age)
			break
		end
	end
end

local reset = 0
for age = 0, steps do
	if counts[age] > 0 then
		reset = leaves(age)
		break
	end
end

if allowed or stepped_back then
	-- A number that is made a string otherwise loses digits after the 14th.
	local parts = { string.format('%.0f', current) }
	for age = 0, steps do parts[age + 2] = string.format('%.0f', counts[age]) end
	redis.call('SET', KEYS[1], table.concat(parts, ' '), 'PX', string.format('%.0f', math.ceil((steps + 1) * step / 1000) + 1))
end
return { allowed and 1 or 0, total, reset, retry }
