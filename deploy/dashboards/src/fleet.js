// The fleet as the dashboard knows it. `fold` puts one MQTT message into it, `view` makes of it what the pages show.
// No clock, no input or output: `now` is given, in milliseconds. The contract is docs/ref/topics.md.

const KEPT_EVENTS = 100
const KEPT_PICTURES = 60
const KEPT_COMMANDS = 20
const PICTURE_LIMIT = 64 * 1024 // bytes; a box sends at most 48 KiB
const SILENT_AFTER = 150e3 // ms; health comes every 60 s
const ANSWER_WITHIN = 20e3 // ms
const OBEY_WITHIN = 60e3 // ms; also bridges clocks that differ
const PASSING = 600e3 // ms for which an alarm without duration, such as a test, is shown
const RETAINED = ['state', 'birth', 'source', 'active', 'occupancy']
const ID = /^[a-z0-9-]{1,48}$/
const LIVE = ['ready', 'degraded', 'updating']
const CLASSES = ['alarm', 'notice', 'system']
const SEVERITIES = ['critical', 'high', 'medium', 'low', 'info']

// What a kind is called on the pages; one that is not here is called as the box calls it.
const TITLES = {
  absence: 'Post unmanned',
  backend_fallback: 'Model runs on another backend',
  client_id_conflict: 'Two clients with the name of this box',
  data_loss: 'Events were lost',
  fire_lane: 'Fire lane blocked',
  intrusion: 'Intrusion',
  line_crossing: 'Line crossed',
  model_failing: 'Model fails',
  sleep: 'Guard does not move',
  sound: 'Sound heard',
  source_degraded: 'Camera sees badly',
  source_offline: 'Camera offline',
  start: 'Box started',
  test: 'Test alarm'
}

function emptyFleet () {
  return { link: { state: 'connecting', since: null, reason: '' }, boxes: {}, events: [], pictures: {}, seen: {}, silences: {}, commands: [] }
}

// True when the message changed something. What is not as documented is ignored: a dashboard must not fall over it.
function fold (fleet, topic, payload, retained, now) {
  const [head, version, site, id, kind, ...rest] = topic.split('/')
  if (head !== 'smartbox' || version !== 'v1' || !ID.test(site) || !ID.test(id)) return false
  if (kind === 'picture') return foldPicture(fleet, rest[0], payload, now)
  const document = payload.length ? parsed(payload) : null
  if (payload.length && document === undefined) return false
  const key = `${site}/${id}`
  const box = fleet.boxes[key] || newBox(site, id, now)
  const change = Object.hasOwn(FOLDS, kind) && FOLDS[kind]
  if (!change || !change(box, document, rest, fleet)) return false
  if (kind === 'event') forget(fleet, now)
  if (RETAINED.includes(kind)) box.fresh[[kind, ...rest].join('/')] = true
  if (!retained) box.heard = now
  if (isKnown(box) || box.health) fleet.boxes[key] = box
  else delete fleet.boxes[key]
  return true
}

// In whatever order a broker tells what it retains.
function isKnown (box) {
  return box.state || box.birth || [box.source, box.active, box.occupancy].some(map => Object.keys(map).length)
}

function newBox (site, id, now) {
  return { site, id, session: 0, state: null, birth: null, source: {}, active: {}, occupancy: {}, health: null, fresh: {}, heard: now }
}

const FOLDS = {
  state: (box, document) => {
    if (document && !isObject(document)) return false
    // A last will of an older session says nothing about the present one.
    if (document && document.state === 'lost' && document.session < box.session) return false
    box.state = document
    if (document) box.session = document.session
    return true
  },
  birth: (box, document) => {
    if (document && !isObject(document)) return false
    box.birth = document
    if (!document) return true
    box.session = document.session
    if (box.state && box.state.state === 'lost' && box.state.session < box.session) box.state = null
    return true
  },
  source: (box, document, rest) => put(box.source, rest, isObject(document) ? document : null),
  active: (box, document, rest) => put(box.active, rest, Array.isArray(document) ? document.filter(isEpisode) : null),
  occupancy: (box, document, rest) => put(box.occupancy, rest, isObject(document) ? document : null),
  tele: (box, document, [what]) => {
    if (what !== 'health' || !isObject(document)) return false
    box.health = document
    return true
  },
  event: (box, document, rest, fleet) => foldEvent(box, document, fleet),
  cmd: (box, document, [name, ack], fleet) => ack === 'ack' && isObject(document) && foldAnswer(box, name, document, fleet)
}

// Any answer to a silence counts, whoever asked: a rule that says nothing must not look like a quiet place.
function foldAnswer (box, name, { id, status, detail }, fleet) {
  const facts = isObject(detail) ? detail : {}
  const command = fleet.commands.find(c => c.id === id)
  if (command) Object.assign(command, { status: String(status), detail: facts.reason ? String(facts.reason) : '' })
  if (name !== 'silence' || status !== 'done' || !ID.test(facts.rule)) return Boolean(command)
  const sources = [].concat(facts.sources).map(String)
  for (const source of sources) fleet.silences[`${box.site}/${box.id}/${facts.rule}/${source}`] = String(facts.until)
  return true
}

function put (map, parts, value) {
  if (!parts.length || !parts.every(part => ID.test(part))) return false
  if (value === null) delete map[parts.join('/')]
  else map[parts.join('/')] = value
  return true
}

function foldEvent (box, event, fleet) {
  if (!isObject(event) || !isEpisode(event.data) || typeof event.type !== 'string') return false
  const { data } = event
  const acknowledged = data.acknowledged || (isObject(data.detail) && data.detail.acknowledged)
  if (isObject(acknowledged)) fleet.seen[data.episode] = acknowledged
  const known = fleet.events.some(e => e.id === event.id) // it is delivered at least once
  if (known || data.phase === 'update') return isObject(acknowledged)
  fleet.events.push(eventView(box, event))
  fleet.events.sort((a, b) => (a.time < b.time ? 1 : -1))
  fleet.events = fleet.events.slice(0, KEPT_EVENTS)
  return true
}

function eventView (box, { id, type, time, replayed, data }) {
  const [, cls, kind] = type.split('.')
  const objects = Array.isArray(data.objects) ? data.objects.filter(isObject) : []
  return {
    id,
    time: String(time),
    site: box.site,
    box: box.id,
    class: cls,
    title: titleOf(kind, objects.map(o => o.subject)),
    phase: data.phase,
    severity: data.severity,
    episode: data.episode,
    camera: data.camera,
    zone: data.zone,
    dwell: data.dwell_s,
    reason: data.end_reason,
    once: data.phase === 'begin' && Boolean(data.ended_at), // over as it began
    replayed: Boolean(replayed)
  }
}

function titleOf (kind, subjects) {
  if (kind === 'parking') return [].concat(subjects).includes('lot') ? 'Car park full' : 'Stands too long'
  if (Object.hasOwn(TITLES, kind)) return TITLES[kind]
  const words = String(kind).replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

// Not retained, so it is kept here: those of open episodes always, of the others the latest.
function foldPicture (fleet, episode, payload, now) {
  const jpeg = payload.length > 3 && payload.length <= PICTURE_LIMIT && payload[0] === 0xff && payload[1] === 0xd8
  if (!jpeg || !ID.test(episode)) return false
  fleet.pictures[episode] = { at: now, data: payload.toString('base64') }
  const open = openEpisodes(fleet)
  const spare = Object.keys(fleet.pictures).filter(e => !open.has(e)).sort((a, b) => fleet.pictures[a].at - fleet.pictures[b].at)
  for (const old of spare.slice(0, -KEPT_PICTURES)) delete fleet.pictures[old]
  return true
}

function openEpisodes (fleet) {
  const lists = Object.values(fleet.boxes).flatMap(box => Object.values(box.active))
  return new Set(lists.flat().map(item => item.episode))
}

// After every connect the broker tells again what it retains. What it does not tell is over: without this, an alarm that
// ended while the line was down would stand here for ever.
function beginSweep (fleet) {
  for (const box of Object.values(fleet.boxes)) box.fresh = {}
}

function sweep (fleet) {
  for (const [key, box] of Object.entries(fleet.boxes)) {
    for (const kind of ['source', 'active', 'occupancy']) {
      for (const name of Object.keys(box[kind])) if (!box.fresh[`${kind}/${name}`]) delete box[kind][name]
    }
    for (const kind of ['state', 'birth']) if (!box.fresh[kind]) box[kind] = null
    if (!isKnown(box)) delete fleet.boxes[key]
  }
}

// What is no longer shown anywhere need not be known.
function forget (fleet, now) {
  const shown = openEpisodes(fleet)
  for (const event of fleet.events) shown.add(event.episode)
  for (const episode of Object.keys(fleet.seen)) if (!shown.has(episode)) delete fleet.seen[episode]
  for (const [key, until] of Object.entries(fleet.silences)) if (!(Date.parse(until) > now)) delete fleet.silences[key]
}

// -- what the pages show --

function view (fleet, now) {
  const boxes = Object.values(fleet.boxes).sort((a, b) => (`${a.site}/${a.id}` < `${b.site}/${b.id}` ? -1 : 1))
  return {
    link: fleet.link,
    boxes: boxes.map(box => boxView(box, fleet, now)),
    open: [...boxes.flatMap(box => openOf(box, fleet, now)), ...passing(fleet, now)].sort(byUrgency),
    silenced: silenced(fleet, now),
    occupancy: boxes.flatMap(box => occupancyOf(box, now)),
    events: fleet.events.map(e => ({ ...e, picture: Object.hasOwn(fleet.pictures, e.episode) }))
  }
}

// `silent`: connected as far as the broker knows, but no health for two turns. `unknown`: it never said.
function stateOf (box, now) {
  if (!box.state) return 'unknown'
  const { state } = box.state
  return LIVE.includes(state) && now - box.heard > SILENT_AFTER ? 'silent' : String(state)
}

function boxView (box, fleet, now) {
  const birth = box.birth || {}
  const health = box.health || {}
  const sources = Object.entries(box.source).map(([name, s]) => ({ name, state: s.state, reason: s.reason, since: s.since }))
  const mine = fleet.commands.filter(c => c.site === box.site && c.box === box.id)
  return {
    site: box.site,
    box: box.id,
    state: stateOf(box, now),
    live: LIVE.includes(stateOf(box, now)),
    since: box.state ? box.state.ts : null,
    version: birth.version || null,
    session: box.session,
    commands: commandsOf(box),
    sources: sources.sort((a, b) => (a.name < b.name ? -1 : 1)),
    troubles: [].concat(health.troubles || []).filter(trouble => !String(trouble).startsWith('source ')), // those stand above
    waiting: health.outbox ? health.outbox.depth : null,
    dead: health.outbox ? health.outbox.dead : null,
    last: mine.length ? commandView(mine[mine.length - 1], now) : null
  }
}

function commandView ({ name, args, at, status, detail }, now) {
  const about = args.rule || args.source || ''
  return { name, about, at, detail, status: status === 'sent' && now - at > ANSWER_WITHIN ? 'no answer' : status }
}

function openOf (box, fleet, now) {
  const state = stateOf(box, now)
  return Object.entries(box.active).flatMap(([pair, list]) => {
    const [rule, camera] = pair.split('/')
    return list.map(item => ({
      ...item,
      title: titleOf(item.kind, item.subjects),
      site: box.site,
      box: box.id,
      live: LIVE.includes(state),
      state,
      rule,
      camera,
      seen: item.acknowledged || fleet.seen[item.episode] || null,
      answer: answerTo(fleet, box, rule, camera, now),
      silence: canSilence(box, rule),
      picture: Object.hasOwn(fleet.pictures, item.episode)
    }))
  })
}

function canSilence (box, rule) {
  return rule !== 'system' && commandsOf(box).includes('silence')
}

function commandsOf (box) {
  const { capabilities } = box.birth || {}
  return [].concat((capabilities && capabilities.commands) || []).filter(c => typeof c === 'string')
}

function answerTo (fleet, box, rule, camera, now) {
  const last = fleet.commands.findLast(c => c.site === box.site && c.box === box.id && c.args.rule === rule && c.args.source === camera)
  return last ? commandView(last, now) : null
}

// Alarms that were over as they began have no place in any list of open ones.
function passing (fleet, now) {
  const fresh = fleet.events.filter(e => e.once && e.class === 'alarm' && now - Date.parse(e.time) < PASSING)
  return fresh.map(e => ({
    ...e,
    live: true,
    started_at: e.time,
    labels: [],
    seen: fleet.seen[e.episode] || null,
    answer: null,
    silence: false,
    picture: Object.hasOwn(fleet.pictures, e.episode)
  }))
}

function silenced (fleet, now) {
  const all = Object.entries(fleet.silences).map(([key, until]) => {
    const [site, box, rule, source] = key.split('/')
    return { site, box, rule, source, until }
  })
  return all.filter(s => Date.parse(s.until) > now)
}

function byUrgency (a, b) {
  return Boolean(a.seen) - Boolean(b.seen) || rank(CLASSES, a.class) - rank(CLASSES, b.class) ||
    rank(SEVERITIES, a.severity) - rank(SEVERITIES, b.severity) || (a.started_at < b.started_at ? 1 : -1)
}

function rank (order, value) {
  const at = order.indexOf(value)
  return at < 0 ? order.length : at
}

function occupancyOf (box, now) {
  return Object.entries(box.occupancy).map(([source, { slots, counts, ts }]) => ({
    site: box.site, box: box.id, live: LIVE.includes(stateOf(box, now)), source, slots: slots || {}, counts: counts || {}, ts
  }))
}

// One point per line of a chart, out of a health document: [[chart, line, value], …].
function points (topic, document) {
  const [, , , id] = topic.split('/')
  const found = [
    ['load', id, document.cpu && document.cpu.load],
    ['temperature', id, document.temperature_c],
    ['waiting', id, document.outbox && document.outbox.depth],
    ...Object.entries(document.inference || {}).map(([model, t]) => ['inference', `${id} ${model}`, t.p95_ms]),
    ...Object.entries(document.sources || {}).map(([source, s]) => ['fps', `${id} ${source}`, s.fps])
  ]
  return found.filter(([, , value]) => typeof value === 'number')
}

// -- commands --

// What is to be published, or null when the ask is not one. It expires: a box that is away must not obey an hour later.
function command (fleet, ask, id, now) {
  const box = fleet.boxes[`${ask.site}/${ask.box}`]
  if (!box || !['silence', 'test-alarm'].includes(ask.name)) return null
  const args = isObject(ask.args) ? ask.args : {}
  fleet.commands.push({ id, site: box.site, box: box.id, name: ask.name, args, at: now, status: 'sent', detail: '' })
  fleet.commands = fleet.commands.slice(-KEPT_COMMANDS)
  const payload = { id, expires_at: new Date(now + OBEY_WITHIN).toISOString(), args }
  return { topic: `smartbox/v1/${box.site}/${box.id}/cmd/${ask.name}`, payload: JSON.stringify(payload), qos: 1, retain: false }
}

function parsed (payload) {
  try {
    return JSON.parse(payload.toString())
  } catch (error) {
    return undefined
  }
}

function isObject (value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function isEpisode (value) {
  return isObject(value) && ID.test(value.episode)
}

if (typeof module !== 'undefined') module.exports = { emptyFleet, fold, beginSweep, sweep, view, points, command }
