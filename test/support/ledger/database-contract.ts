/** What every database of the mixer must do, as tests; `open` gives a new handle on the same database each time. */
import type { Test } from 'tap'
import type { Database, SqlSession } from '../../../src/mixer/ledger/database.ts'

export type DatabaseFactory = (t: Test) => Promise<{ readonly open: () => Promise<Database> }>

const ADD = `
  INSERT INTO ledger_mark (name, at) VALUES ($1, $2)
  ON CONFLICT (name) DO UPDATE SET at = ledger_mark.at + excluded.at`

async function at(session: SqlSession, name: string): Promise<unknown> {
  const rows = await session.all('SELECT at FROM ledger_mark WHERE name = $1', [name])
  return rows[0]?.['at']
}

export async function testDatabase(t: Test, create: DatabaseFactory): Promise<void> {
  const openOne = async (t: Test): Promise<Database> => {
    const database = await (await create(t)).open()
    t.teardown(() => database.close())
    return database
  }

  await t.test('what is fulfilled is committed, and gives its result', async t => {
    const database = await openOne(t)
    t.equal(await database.transaction(session => session.run(ADD, ['a', 2])), 1)
    t.equal(await database.transaction(session => session.run(ADD, ['a', 3n])), 1)
    t.equal(await database.snapshot(session => at(session, 'a')), 5n)
  })

  await t.test('what is rejected is undone, and rejects with the same', async t => {
    const database = await openOne(t)
    const mine = new Error('mine')
    const work = async (session: SqlSession): Promise<never> => {
      await session.run(ADD, ['a', 2])
      throw mine
    }
    t.equal(await database.transaction(work).catch((error: unknown) => error), mine)
    t.equal(await database.snapshot(session => at(session, 'a')), undefined)
  })

  await t.test('a statement that fails undoes all, also where nobody minds', async t => {
    const database = await openOne(t)
    const work = async (session: SqlSession): Promise<string> => {
      await session.run(ADD, ['a', 2])
      await session.run('INSERT INTO nowhere VALUES (1)').catch(() => {})
      return 'done'
    }
    await t.rejects(database.transaction(work), { name: 'SqlError', reason: 'unavailable' })
    t.equal(await database.snapshot(session => at(session, 'a')), undefined)
    t.equal(
      await database.transaction(session => session.run(ADD, ['a', 1])),
      1,
      'and the next works',
    )
  })

  await t.test('a number beyond 2^63 - 1 is an overflow', async t => {
    const database = await openOne(t)
    await database.transaction(session => session.run(ADD, ['a', 2n ** 63n - 1n]))
    const once = database.transaction(session => session.run(ADD, ['a', 1]))
    await t.rejects(once, { name: 'SqlError', reason: 'overflow' })
    t.equal(await database.snapshot(session => at(session, 'a')), 2n ** 63n - 1n)
  })

  await t.test('a session ends with its transaction', async t => {
    const database = await openOne(t)
    const kept = await database.transaction(async session => session)
    await t.rejects(kept.run(ADD, ['a', 1]), { name: 'SqlError' })
    t.equal(await database.snapshot(session => at(session, 'a')), undefined)
  })

  await t.test('a snapshot cannot write, and sees one moment', async t => {
    const { open } = await create(t)
    const [reader, writer] = [await open(), await open()]
    await t.rejects(
      reader.snapshot(session => session.run(ADD, ['a', 1])),
      { name: 'SqlError' },
    )
    await writer.transaction(session => session.run(ADD, ['a', 1]))
    const seen = await reader.snapshot(async session => {
      const before = await at(session, 'a')
      await writer.transaction(other => other.run(ADD, ['a', 1]))
      return [before, await at(session, 'a')]
    })
    t.same(seen, [1n, 1n])
    await reader.close()
    await writer.close()
  })

  await t.test('transactions that wait in between do not get into each other', async t => {
    const { open } = await create(t)
    const handles = [await open(), await open()] as const
    // Reads, waits, then writes what it has read: any interleaving would lose an addition.
    const add = async (session: SqlSession): Promise<void> => {
      const before = ((await at(session, 'a')) as bigint | undefined) ?? 0n
      await new Promise(resolve => setImmediate(resolve))
      await session.run('DELETE FROM ledger_mark WHERE name = $1', ['a'])
      await session.run('INSERT INTO ledger_mark (name, at) VALUES ($1, $2)', ['a', before + 1n])
    }
    for (let turn = 0; turn < 5; turn += 1)
      await Promise.all([...handles, ...handles].map(handle => handle.transaction(add)))
    t.equal(await handles[0].snapshot(session => at(session, 'a')), 20n)
    for (const handle of handles) await handle.close()
  })

  await t.test('values come back as they went in, and text is ordered by its bytes', async t => {
    const database = await openOne(t)
    const names = ['a', 'B', 'ä', '𝄞', 'Ω', "'; --", '\\', '"', ' ']
    await database.transaction(async session => {
      for (const [index, name] of names.entries())
        await session.run(ADD, [name, 2 ** 53 - 1 - index])
    })
    const rows = await database.snapshot(session =>
      session.all('SELECT name, at FROM ledger_mark WHERE at > 100 ORDER BY name'),
    )
    const expected = names
      .map((name, index) => ({ name, at: BigInt(2 ** 53 - 1 - index) }))
      .toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
    t.same(
      rows.map(row => ({ ...row })),
      expected,
    )
    const one = await database.snapshot(session =>
      session.all('SELECT CAST($1 AS BIGINT) / 2 AS half, count(*) AS n FROM ledger_mark', [7]),
    )
    t.match(one[0], { half: 3n, n: BigInt(names.length + 4) })
  })
}
