// Boxes, sources and open alarms are told anew by the broker; the rest is what was kept.
context.set('fleet', { ...emptyFleet(), ...flow.get('kept', 'disk') })
context.set('pending', false)
context.set('shown', '')
