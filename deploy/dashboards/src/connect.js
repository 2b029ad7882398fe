// Out go 1 the order to connect, 2 why not. The broker is the one that the environment names; without SMARTBOX_MQTT_URL as the broker node says it.
const url = env.get('SMARTBOX_MQTT_URL')
const username = env.get('SMARTBOX_MQTT_USER')
const password = env.get('SMARTBOX_MQTT_PASSWORD')
const clientid = env.get('SMARTBOX_MQTT_CLIENT_ID')
if (!url) return { action: 'connect' }

const address = /^(mqtts?):\/\/(\[[0-9a-f:]+\]|[^\s/:@]+)(:\d+)?$/i.exec(url)
if (!address) return refuse(`SMARTBOX_MQTT_URL ${url}: write it as mqtts://broker.example:8883; user and password have variables of their own`)
const [, scheme, host, port] = address
const usetls = scheme.toLowerCase() === 'mqtts'
if (!usetls && username && !['localhost', '127.0.0.1', '[::1]'].includes(host)) {
  return refuse(`SMARTBOX_MQTT_URL ${url}: a password goes over mqtts:// only, or to a broker on this machine`)
}
const broker = { url: port ? url : url + (usetls ? ':8883' : ':1883'), usetls, force: true }
if (username) Object.assign(broker, { username, password })
// With an id of its own the broker keeps events and pictures for it while it is away.
if (clientid) Object.assign(broker, { clientid, cleansession: false, sessionExpiry: 86400 })
return { action: 'connect', broker }

function refuse (why) {
  node.error(why)
  return [null, { refused: why }]
}
