import { test } from 'tap'
import { ClaimTable } from '../../../src/config/claim-table.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

interface Owner {
  readonly name: number
  readonly keys: Set<string>
}

await test('claims are those of a map, whatever comes and goes', t => {
  const seed = Date.now() % 2 ** 32
  t.comment(`seed ${seed}`)
  const random = new SeededRandom(seed)
  const table = new ClaimTable<Owner>((owner, key) => owner.keys.has(key))
  const model = new Map<string, Owner>()
  let owners: Owner[] = []
  let wrong = 0
  for (let step = 0; step < 20_000; step += 1) {
    if (owners.length > 0 && random.chance(0.3)) {
      const owner = random.pick(owners)
      owners = owners.filter(each => each !== owner)
      table.release(owner.keys, owner)
      for (const key of owner.keys) model.delete(key)
      continue
    }
    const owner: Owner = { name: step, keys: new Set() }
    for (let count = random.below(8); count > 0; count -= 1) {
      const key = `key ${random.below(30_000)}`
      const other = model.get(key)
      if (table.claim(key, owner) !== (other === owner ? undefined : other)) wrong += 1
      if (other !== undefined) continue
      model.set(key, owner)
      owner.keys.add(key)
    }
    owners.push(owner)
  }
  t.equal(wrong, 0)
  t.equal(table.size, model.size)
  t.end()
})

await test('of two keys with the same hash each has an owner of its own', t => {
  const keys = new Map<string, string>()
  // Nobody has the key that is asked for: what else could equal hashes of two keys look like?
  const table = new ClaimTable<string>((owner, key) => keys.get(key) === owner && owner !== 'first')
  t.equal(table.claim('key', 'first'), undefined)
  t.equal(table.claim('key', 'second'), undefined)
  keys.set('key', 'second')
  t.equal(table.claim('key', 'third'), 'second')
  table.release(['key'], 'second')
  keys.clear()
  t.equal(table.claim('key', 'third'), undefined)
  t.equal(table.size, 2)
  t.end()
})
