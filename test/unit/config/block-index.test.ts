import { test } from 'tap'
import { endOf, type IpBlock, parseIpBlock } from '../../../src/codec/ip-block.ts'
import { BlockIndex } from '../../../src/config/block-index.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

interface Owned {
  readonly block: IpBlock
  readonly owner: string
}

function anyBlock(random: SeededRandom): IpBlock {
  const text = random.chance(0.2)
    ? `2001:db8:${random.below(16).toString(16)}::/${random.pick([40, 48, 52, 64])}`
    : `10.${random.below(200)}.${random.below(8)}.${random.below(256)}/${random.pick([12, 16, 22, 24, 30, 32])}`
  const block = parseIpBlock(text)
  if (block === undefined) throw new Error(text)
  return block
}

function overlap(one: IpBlock, other: IpBlock): boolean {
  return one.first <= endOf(other) && other.first <= endOf(one)
}

await test('blocks of two owners that overlap are found, a few at a time or very many at once', t => {
  const seed = Date.now() % 2 ** 32
  t.comment(`seed ${seed}`)
  const random = new SeededRandom(seed)
  for (let round = 0; round < 200; round += 1) {
    const index = new BlockIndex<string, Owned>()
    let model: Owned[] = []
    for (let change = 0; change < 8; change += 1) {
      if (random.chance(0.3)) {
        const gone = new Set([`owner ${random.below(12)}`, `owner ${random.below(12)}`])
        index.remove(model.filter(({ owner }) => gone.has(owner)))
        model = model.filter(({ owner }) => !gone.has(owner))
      }
      // Such as fit, and now and then one that may not.
      const count = random.chance(0.3) ? random.between(33, 60) : random.between(1, 3)
      const added: Owned[] = []
      for (let tries = 0; tries < count; tries += 1) {
        const next = { block: anyBlock(random), owner: `owner ${random.below(12)}` }
        const fits = [...model, ...added].every(
          other => other.owner === next.owner || !overlap(other.block, next.block),
        )
        if (fits || random.chance(0.05)) added.push(next)
      }
      const wanted = added.some(one =>
        [...model, ...added].some(
          other => other.owner !== one.owner && overlap(other.block, one.block),
        ),
      )
      index.add(added)
      const found = index.settle()
      const context = `seed ${seed}, round ${round}, change ${change}`
      if (found.length > 0 !== wanted) t.fail(`${context}: ${found.length} found`)
      for (const [one, other] of found)
        if (one.owner === other.owner || !overlap(one.block, other.block))
          t.fail(`${context}: no overlap`)
      model.push(...added)
      // What overlaps is refused as a whole.
      if (found.length > 0) break
    }
  }
  t.pass('each change as everything compared with everything')
  t.end()
})
