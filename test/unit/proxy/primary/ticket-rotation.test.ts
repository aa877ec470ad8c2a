/** Secrets of session tickets: one after the other, the former one is kept for one period, and none without tickets. */
import { test } from 'tap'
import type { TicketSecrets } from '../../../../src/proxy/listener/tls-tickets.ts'
import { TicketRotation } from '../../../../src/proxy/primary/ticket-rotation.ts'

function listener(name: string, tickets: 'off' | { rotate: number } | undefined): never {
  return { name, tls: tickets && { tickets } } as never
}

await test('each period has a secret of its own, beside the one before', async t => {
  const told: TicketSecrets[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const rotation = new TicketRotation(([secrets]) => {
    told.push(secrets as TicketSecrets)
    if (told.length === 3) resolve()
  })
  rotation.update([listener('public', { rotate: 20 })])
  const [first] = rotation.secrets
  t.match(first, { listener: 'public', former: null })
  t.equal(Buffer.from(first?.current ?? '', 'base64').length, 32)
  await promise
  rotation.close()
  const all = [first, ...told]
  for (const [index, secrets] of told.entries()) t.equal(secrets.former, all[index]?.current)
  t.equal(new Set(all.map(each => each?.current)).size, 4)
})

await test('a listener keeps its secret while another comes and goes', async t => {
  const rotation = new TicketRotation(() => {})
  t.teardown(() => rotation.close())
  rotation.update([
    listener('a', { rotate: 1e6 }),
    listener('b', { rotate: 1e6 }),
    listener('plain', undefined),
  ])
  const [a, b] = rotation.secrets
  t.not(a?.current, b?.current)
  rotation.update([listener('a', { rotate: 2e6 }), listener('b', 'off')])
  t.same(rotation.secrets, [a])
})
