import { test } from 'tap'
import { DeploymentIndex } from '../../../../src/mixer/registry/deployment-index.ts'
import { FollowedNames, MAX_FOLLOWED_NAMES } from '../../../../src/mixer/registry/followed-names.ts'
import { tenant } from '../../../support/registry/registrations.ts'

/** As the index would get it, were it not for the contract. */
const NONSENSE = {
  ...tenant('beta'),
  endpoints: ['http://beta.localhost:80', 'nonsense', 'http://:80', ''],
}

function indexOf(tenants: readonly ReturnType<typeof tenant>[]): DeploymentIndex {
  return new DeploymentIndex(new Map(tenants.map(each => [each.id, { ...each, service: 'notes' }])))
}

function ids(owners: readonly { readonly id: string }[]): string[] {
  return owners.map(({ id }) => id).toSorted()
}

await test('tenants are found by everything that they have registered', t => {
  const index = indexOf([
    tenant('acme', {
      endpoints: ['http://10.0.0.1:80', 'tcp://[2001:DB8::1]:443', 'https://Orders.Internal:8443'],
      spiffe: ['spiffe://example.org/acme'],
      addresses: ['10.1.0.0/16'],
    }),
    tenant('beta', {
      endpoints: ['http://10.0.0.1:81'],
      addresses: ['10.1.2.0/24', '::ffff:10.9.9.9'],
    }),
  ])
  t.same(ids(index.byAddress('10.0.0.1')), ['acme', 'beta'])
  t.same(ids(index.byAddress('2001:db8::1')), ['acme'])
  t.same(ids(index.byName('orders.internal')), ['acme'])
  t.same([...index.names], ['orders.internal'])
  t.same(ids(index.byEndpoint('10.0.0.1', 81)), ['beta'])
  t.same(ids(index.byEndpoint('orders.internal', 8443)), ['acme'])
  t.same(ids(index.bySpiffe('spiffe://example.org/acme')), ['acme'])
  t.same(ids(index.bySpiffe('spiffe://example.org/acme/')), [])
  t.same(ids(index.byBlock('10.1.0.9')), ['acme'])
  t.same(ids(index.byBlock('10.1.2.9')), ['acme', 'beta'], 'in blocks of any size')
  t.same(ids(index.byBlock('10.9.9.9')), ['beta'])
  t.same(ids(index.byBlock('10.9.9.8')), [])
  t.same(ids(index.byBlock('no address')), [])
  t.equal(index.size, 2)
  t.end()
})

await test('loopback addresses are endpoints, and the addresses of nobody', t => {
  const index = indexOf([
    tenant('acme', { endpoints: ['http://127.0.0.1:80', 'http://[::ffff:127.0.0.9]:80'] }),
    NONSENSE,
  ])
  for (const address of ['127.0.0.1', '127.0.0.9', '::1']) t.same(index.byAddress(address), [])
  t.same([...index.loopbackAddresses(80)].toSorted(), ['127.0.0.1', '127.0.0.9', '::1'])
  t.same([...index.loopbackAddresses(81)], [])
  t.same(ids(index.byEndpoint('127.0.0.1', 80)), ['acme', 'beta'])
  t.same(ids(index.byEndpoint('::1', 80)), ['beta'])
  t.same([...index.names], [])
  t.end()
})

/** Names whose answers the test gives. */
function followed() {
  const answers = new Map<
    string,
    { addresses?: readonly string[]; tell: (a: readonly string[]) => void; closed: boolean }
  >()
  const counts = { changed: 0, tooMany: 0 }
  const names = new FollowedNames({
    names: {
      watch: (name, listener) => {
        const entry = {
          addresses: undefined as readonly string[] | undefined,
          closed: false,
          tell: (addresses: readonly string[]) => {
            entry.addresses = addresses
            listener(addresses)
          },
        }
        answers.set(name, entry as never)
        return {
          get addresses() {
            return entry.addresses
          },
          close: () => {
            entry.closed = true
          },
        }
      },
    },
    changed: () => {
      counts.changed += 1
    },
    tooMany: () => {
      counts.tooMany += 1
    },
  })
  return {
    names,
    counts,
    answer: (name: string, addresses: string[]) => answers.get(name)?.tell(addresses),
    answers,
  }
}

await test('names are followed to their addresses, and back', t => {
  const { names, counts, answer, answers } = followed()
  names.follow(new Set(['a', 'b']))
  t.equal(names.complete, false)
  answer('a', ['10.0.0.1', '10.0.0.2'])
  answer('b', ['10.0.0.2', '::ffff:127.0.0.1'])
  t.equal(names.complete, true)
  t.equal(counts.changed, 2)
  t.same([...names.leadingTo('10.0.0.1')], ['a'])
  t.same([...names.leadingTo('10.0.0.2')], ['a', 'b'])
  t.same(names.loopbackAddresses(), ['127.0.0.1'])
  answer('a', [])
  t.equal(names.complete, true, 'leading nowhere is an answer')
  t.same([...names.leadingTo('10.0.0.1')], [])
  t.same([...names.leadingTo('10.0.0.2')], ['b'])
  names.follow(new Set(['a']))
  t.same([...names.leadingTo('10.0.0.2')], [])
  t.equal(answers.get('b')?.closed, true)
  names.close()
  t.equal(answers.get('a')?.closed, true)
  t.end()
})

await test('with more names than are followed, none is', t => {
  const { names, counts, answers } = followed()
  names.follow(new Set(['a']))
  const many = new Set(Array.from({ length: MAX_FOLLOWED_NAMES + 1 }, (_, index) => `n${index}`))
  names.follow(many)
  names.follow(new Set([...many, 'another']))
  t.equal(counts.tooMany, 1, 'said once')
  t.equal(answers.size, 1)
  t.equal(names.complete, false)
  names.follow(new Set())
  t.equal(names.complete, true)
  t.end()
})
