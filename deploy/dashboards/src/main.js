// The node itself: messages in; out go 1 the view, 2 pictures that a page asked for, 3 points of charts, 4 commands.

const COALESCE = 150 // ms
const SETTLE = 3000 // ms within which a broker has told what it retains

const fleet = context.get('fleet')

if (msg.topic === 'tick') show()
else if (msg.status) linkChanged(String(msg.status.text))
else if (msg.refused) refused(String(msg.refused))
else if (msg.ask) asked(msg.ask)
else if (msg.topic) received()
return null

function received () {
  const payload = Buffer.isBuffer(msg.payload) ? msg.payload : Buffer.from(String(msg.payload))
  if (!fold(fleet, msg.topic, payload, msg.retain, Date.now())) return
  const kind = msg.topic.split('/')[4]
  if (kind === 'tele') plot(JSON.parse(payload.toString()))
  if (['picture', 'event', 'cmd'].includes(kind)) keep()
  if (!context.get('pending')) {
    context.set('pending', true)
    setTimeout(show, COALESCE)
  }
}

function show () {
  context.set('pending', false)
  const payload = view(fleet, Date.now())
  const text = JSON.stringify(payload)
  if (text === context.get('shown')) return
  context.set('shown', text)
  node.send([{ payload }])
}

function linkChanged (text) {
  const state = ['disconnected', 'connecting', 'connected'].find(name => text.endsWith(name))
  if (!state || fleet.link.state === state) return
  if (state === 'connected') {
    beginSweep(fleet)
    setTimeout(() => { sweep(fleet); show() }, SETTLE)
  }
  fleet.link = { state, since: new Date().toISOString(), reason: state === 'connected' ? '' : fleet.link.reason }
  show()
}

function refused (reason) {
  fleet.link = { ...fleet.link, reason }
  show()
}

function asked (ask) {
  if (ask.picture) return hand(String(ask.picture))
  if (ask.seen) see(String(ask.seen))
  const message = ask.command && command(fleet, ask.command, RED.util.generateId(), Date.now())
  if (message) node.send([null, null, null, message])
  show()
}

function see (episode) {
  if (!Object.hasOwn(fleet.seen, episode)) fleet.seen[episode] = { by: 'dashboard', at: new Date().toISOString() }
  keep()
}

// To the one page that asked: pictures do not travel with the view, which goes to every page at each change.
function hand (episode) {
  const picture = Object.hasOwn(fleet.pictures, episode) && fleet.pictures[episode]
  if (picture) node.send([null, { _client: msg._client, picture: { episode, data: picture.data } }])
}

function plot (document) {
  for (const [chart, topic, payload] of points(msg.topic, document)) node.send([null, null, { chart, topic, payload }])
}

// What no broker tells twice outlives a restart where Node-RED has a context store called `disk`.
function keep () {
  const { events, pictures, seen, silences } = fleet
  flow.set('kept', { events, pictures, seen, silences }, 'disk')
}
