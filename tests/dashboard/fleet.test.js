// What the dashboard makes of messages, without Node-RED: `node --test`, run by test_flow.py.
const test = require('node:test')
const assert = require('node:assert')
const { emptyFleet, fold, beginSweep, sweep, view, points, command } = require('../../deploy/dashboards/src/fleet.js')

const NOW = Date.parse('2026-11-24T10:00:00Z')
const ROOT = 'smartbox/v1/park-a/box-1'
const EPISODE = '0192f3a0-0000-7000-8000-000000000001'
const OPEN = { episode: EPISODE, kind: 'intrusion', class: 'alarm', severity: 'high', zone: 'yard', started_at: '2026-11-24T09:59:00.000Z', subjects: ['track:1'], labels: ['person'] }
const JPEG = Buffer.from([0xff, 0xd8, 0xff, 0xd9])

function told (...messages) {
  const fleet = emptyFleet()
  for (const [topic, document, retained] of messages) tell(fleet, topic, document, retained)
  return fleet
}

function tell (fleet, topic, document, retained = false) {
  const payload = Buffer.isBuffer(document) ? document : Buffer.from(document === null ? '' : JSON.stringify(document))
  return fold(fleet, `${ROOT}/${topic}`, payload, retained, NOW)
}

function state (fleet, now = NOW) {
  return view(fleet, now).boxes[0]?.state
}

function event (phase, more = {}, data = {}) {
  return {
    id: `${phase}-1`, type: `smartbox.alarm.intrusion.${phase}`, time: '2026-11-24T10:00:00.000Z', ...more,
    data: { episode: EPISODE, phase, severity: 'high', camera: 'gate', zone: 'yard', dwell_s: 3, objects: [{ subject: 'track:1', label: 'person' }], ...data }
  }
}

test('a last will of an older session is ignored, in whatever order things come', () => {
  const ready = ['state', { state: 'ready', session: 42, ts: '' }]
  const old = ['state', { state: 'lost', session: 41, ts: '' }]
  const birth = ['birth', { session: 42, version: '1' }]
  assert.equal(state(told(ready, old)), 'ready')
  assert.equal(state(told(birth, old)), 'unknown')
  assert.equal(state(told(old, birth)), 'unknown')
  assert.equal(state(told(old, birth, ready)), 'ready')
  assert.equal(state(told(ready, ['state', { state: 'lost', session: 42, ts: '' }])), 'lost')
})

test('a box that begins to count anew is believed', () => {
  assert.equal(state(told(['state', { state: 'lost', session: 42, ts: '' }], ['state', { state: 'ready', session: 1, ts: '' }])), 'ready')
})

test('a connected box that says nothing any more is silent', () => {
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }])
  assert.equal(state(fleet, NOW + 149e3), 'ready')
  assert.equal(state(fleet, NOW + 151e3), 'silent')
  fold(fleet, `${ROOT}/tele/health`, Buffer.from('{}'), false, NOW + 152e3)
  assert.equal(state(fleet, NOW + 160e3), 'ready')
})

test('an open episode is shown until its list is emptied', () => {
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }], ['active/yard-closed/gate', [OPEN], true])
  const [item] = view(fleet, NOW).open
  assert.deepEqual([item.title, item.rule, item.camera, item.zone, item.picture, item.seen], ['Intrusion', 'yard-closed', 'gate', 'yard', false, null])
  tell(fleet, `picture/${EPISODE}`, JPEG)
  assert.equal(view(fleet, NOW).open[0].picture, true)
  tell(fleet, 'active/yard-closed/gate', null)
  assert.deepEqual(view(fleet, NOW).open, [])
})

test('what a broker retains may come in any order', () => {
  const fleet = told(['active/yard-closed/gate', [OPEN], true], ['state', { state: 'ready', session: 1, ts: '' }, true])
  assert.equal(view(fleet, NOW).open.length, 1)
  tell(fleet, 'active/yard-closed/gate', null)
  tell(fleet, 'state', null)
  assert.deepEqual(view(fleet, NOW).boxes, [])
})

test('what ended while the line was down is swept away, what goes on stays', () => {
  const other = { ...OPEN, episode: 'another' }
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }, true], ['active/a/gate', [OPEN], true], ['active/b/gate', [other], true])
  beginSweep(fleet)
  tell(fleet, 'state', { state: 'ready', session: 1, ts: '' }, true)
  tell(fleet, 'active/b/gate', [other], true)
  assert.equal(view(fleet, NOW).open.length, 2) // nothing flickers meanwhile
  sweep(fleet)
  assert.deepEqual(view(fleet, NOW).open.map(item => item.episode), ['another'])
  beginSweep(fleet)
  sweep(fleet)
  assert.deepEqual(view(fleet, NOW).boxes, [])
})

test('alarms come before notices, the unseen before the seen, the worse before the better', () => {
  const items = [
    { ...OPEN, episode: 'seen' }, { ...OPEN, episode: 'notice', class: 'notice' }, { ...OPEN, episode: 'low', severity: 'low' },
    { ...OPEN, episode: 'older', started_at: '2026-11-24T09:00:00.000Z' }, { ...OPEN, episode: 'newer' }
  ]
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }], ['active/a/gate', items])
  tell(fleet, 'event/alarm/intrusion', event('update', {}, { episode: 'seen', acknowledged: { by: 'anna', at: '' } }))
  assert.deepEqual(view(fleet, NOW).open.map(item => item.episode), ['newer', 'older', 'low', 'notice', 'seen'])
})

test('an event that comes twice is listed once, updates are not listed', () => {
  const fleet = told(['event/alarm/intrusion', event('begin')], ['event/alarm/intrusion', event('begin')], ['event/alarm/intrusion', event('update')])
  assert.equal(view(fleet, NOW).events.length, 1)
})

test('memory is bounded, and the pictures of open episodes are kept', () => {
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }], ['active/a/gate', [OPEN]], [`picture/${EPISODE}`, JPEG])
  for (let n = 0; n < 500; n++) {
    const seen = { episode: `other-${n}`, acknowledged: { by: 'anna', at: '' } }
    tell(fleet, `picture/other-${n}`, JPEG)
    tell(fleet, 'event/alarm/intrusion', event('begin', { id: `e-${n}` }, seen))
    tell(fleet, 'cmd/silence/ack', { id: 'x', status: 'done', detail: { rule: `rule-${n}`, sources: ['gate'], until: '2026-11-24T09:00:00.000Z' } })
  }
  assert.equal(Object.keys(fleet.pictures).length, 61)
  assert.ok(fleet.pictures[EPISODE])
  assert.equal(fleet.events.length, 100)
  assert.ok(Object.keys(fleet.seen).length <= 101)
  assert.ok(Object.keys(fleet.silences).length <= 1)
})

test('what is not as documented changes nothing', () => {
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }])
  const before = JSON.stringify(view(fleet, NOW))
  for (const document of ['text', 7, null, [], {}, [null], [{}], { data: 1 }, { data: { episode: '__proto__' } }]) {
    for (const topic of ['nothing', 'source', 'event/alarm/x', 'picture/x', 'cmd/silence/ack', '__proto__', 'constructor/x', 'tele/other', 'active/__proto__/x']) {
      tell(fleet, topic, document)
    }
  }
  tell(fleet, `picture/${EPISODE}`, Buffer.alloc(100))
  tell(fleet, `picture/${EPISODE}`, Buffer.concat([JPEG, Buffer.alloc(70000)]))
  fold(fleet, `${ROOT}/state`, Buffer.from('{"state":'), false, NOW)
  fold(fleet, 'smartbox/v1/A B/x/state', Buffer.from('{}'), false, NOW)
  fold(fleet, 'other/v1/a/x/state', Buffer.from('{}'), false, NOW)
  assert.equal(JSON.stringify(view(fleet, NOW)), before)
  assert.equal({}.session, undefined)
})

test('a command goes to a box that is known, expires, and shows its answer', () => {
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }])
  const ask = { site: 'park-a', box: 'box-1', name: 'test-alarm' }
  const message = command(fleet, ask, 'c1', NOW)
  assert.deepEqual([message.topic, message.qos, message.retain], [`${ROOT}/cmd/test-alarm`, 1, false])
  assert.deepEqual(JSON.parse(message.payload), { id: 'c1', expires_at: '2026-11-24T10:01:00.000Z', args: {} })
  assert.equal(view(fleet, NOW).boxes[0].last.status, 'sent')
  assert.equal(view(fleet, NOW + 21e3).boxes[0].last.status, 'no answer')
  tell(fleet, 'cmd/test-alarm/ack', { id: 'someone-else', status: 'failed' })
  tell(fleet, 'cmd/test-alarm/ack', { id: 'c1', status: 'refused', detail: { reason: 'no' } })
  assert.deepEqual([view(fleet, NOW).boxes[0].last.status, view(fleet, NOW).boxes[0].last.detail], ['refused', 'no'])
  assert.equal(command(fleet, { ...ask, box: 'box-2' }, 'c2', NOW), null)
  assert.equal(command(fleet, { ...ask, name: 'factory-reset' }, 'c3', NOW), null)
})

test('a silence that anybody made is shown while it lasts', () => {
  const done = { id: 'of another', status: 'done', detail: { rule: 'yard-closed', sources: ['gate'], until: '2026-11-24T10:30:00.000Z' } }
  const fleet = told(['state', { state: 'ready', session: 1, ts: '' }], ['cmd/silence/ack', { ...done, status: 'failed' }])
  assert.deepEqual(view(fleet, NOW).silenced, [])
  tell(fleet, 'cmd/silence/ack', done)
  assert.deepEqual(view(fleet, NOW).silenced.map(s => [s.box, s.rule, s.source]), [['box-1', 'yard-closed', 'gate']])
  assert.deepEqual(view(fleet, NOW + 31 * 60e3).silenced, [])
})

test('an alarm that is over as it begins is shown for ten minutes, or until somebody has seen it', () => {
  const fleet = told(['event/alarm/test', event('begin', { type: 'smartbox.alarm.test.begin' }, { ended_at: '2026-11-24T10:00:00.000Z' })])
  assert.deepEqual(view(fleet, NOW).open.map(item => [item.title, item.once, item.seen]), [['Test alarm', true, null]])
  assert.deepEqual(view(fleet, NOW + 601e3).open, [])
})

test('what a box that is away said last is marked as old', () => {
  const fleet = told(
    ['state', { state: 'ready', session: 1, ts: '' }], ['active/a/gate', [OPEN]],
    ['occupancy/lot', { slots: { P1: 'free' }, counts: { free: 1, occupied: 0, unknown: 0 }, ts: '' }]
  )
  const live = () => { const v = view(fleet, NOW); return [v.boxes[0].live, v.open[0].live, v.occupancy[0].live] }
  assert.deepEqual(live(), [true, true, true])
  tell(fleet, 'state', { state: 'lost', session: 1, ts: '' })
  assert.deepEqual(live(), [false, false, false])
})

test('health becomes points of charts', () => {
  const health = { cpu: { load: 0.5 }, temperature_c: null, inference: { eyes: { p50_ms: 10, p95_ms: 20 } }, sources: { gate: { fps: 5 } }, outbox: { depth: 0 } }
  assert.deepEqual(points(`${ROOT}/tele/health`, health), [
    ['load', 'box-1', 0.5], ['waiting', 'box-1', 0], ['inference', 'box-1 eyes', 20], ['fps', 'box-1 gate', 5]
  ])
})
