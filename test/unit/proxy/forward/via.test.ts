import { test } from 'tap'
import { hasPassed, pseudonymOf } from '../../../../src/proxy/forward/via.ts'

const US = pseudonymOf('orders', 'a1b2')

await test('is named by the service and the instance', t => {
  t.equal(US, 'orders-a1b2')
  t.end()
})

await test('knows itself among the hops, and nobody else', t => {
  for (const via of [
    '1.1 orders-a1b2',
    'HTTP/1.1 orders-a1b2',
    '1.0 fred, 1.1 orders-a1b2 (AMT), 1.1 x',
    '1.0 fred,1.1\torders-a1b2',
  ])
    t.ok(hasPassed(via, US), via)
  for (const via of [
    '',
    '1.1 orders',
    '1.1 orders-ffff',
    '1.1 orders-a1b2c3',
    '1.1 my-orders-a1b2',
    '1.1 fred (orders-a1b2)',
    'orders-a1b2',
  ])
    t.notOk(hasPassed(via, US), via)
  t.end()
})
