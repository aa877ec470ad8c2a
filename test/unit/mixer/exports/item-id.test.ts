import { test } from 'tap'
import {
  ITEM_NAMESPACE,
  type ItemName,
  itemId,
  uuidV5,
} from '../../../../src/mixer/exports/item-id.ts'

const DNS = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
const URL_NAMESPACE = '6ba7b811-9dad-11d1-80b4-00c04fd430c8'

await test('ids are UUIDs of version 5', async t => {
  // RFC 9562, appendix A.4, and the documentation of Python's uuid.
  t.equal(uuidV5(DNS, 'www.example.com'), '2ed6657d-e927-568b-95e1-2665a8aea6a2')
  t.equal(uuidV5(DNS, 'python.org'), '886313e1-3b8a-5372-9b90-0c9aee199e5d')
  // Computed by another implementation.
  t.equal(uuidV5(URL_NAMESPACE, 'http://www.example.com/'), 'fcde3c85-2270-590f-9e7c-ee003d65e0e2')
  t.match(
    uuidV5(URL_NAMESPACE, 'é'),
    /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
})

const item: ItemName = {
  source: 'amt/orders',
  tenant: 'acme',
  metric: 'calls',
  operation: '',
  window: Date.UTC(2026, 10, 22, 12),
  windowMs: 3_600_000,
  revision: 1n,
}

await test('the same usage has the same id for ever', async t => {
  // Never to be changed: what was billed under these ids would be billed again.
  t.equal(ITEM_NAMESPACE, '7b0d2c54-4f0e-4a5c-9d55-2c1f6a7f3e91')
  t.equal(
    itemId(item),
    uuidV5(ITEM_NAMESPACE, '["amt/orders","acme","calls","","2026-11-22T12:00:00.000Z",3600000,1]'),
  )
  t.equal(itemId(item), '2d8c19b5-65ca-556a-b693-45e91cc206fe')
})

await test('every part of a name makes another id, and no part runs into the next', async t => {
  const others: Partial<ItemName>[] = [
    { source: 'amt/other' },
    { tenant: 'globex' },
    { metric: 'egress' },
    { operation: 'read' },
    { window: item.window + item.windowMs },
    { windowMs: 60_000 },
    { revision: 2n },
    { tenant: 'acme","calls', metric: '' },
  ]
  const ids = [item, ...others.map(other => ({ ...item, ...other }))].map(itemId)
  t.equal(new Set(ids).size, ids.length)
})
