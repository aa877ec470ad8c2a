/** DNS that fails: each answer is counted, each name is told once, and with very many names only some are. */
import { test } from 'tap'
import { NameLog } from '../../../../src/proxy/worker/name-log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

await test('a name is told when it begins to fail, and not each time', t => {
  const log = new LogLines()
  const names = new NameLog(new FakeClock(), log.logger)
  names.answered('a.test', 'found', false)
  names.answered('a.test', 'down', false)
  names.answered('a.test', 'down', true)
  names.answered('b.test', 'unknown', false)
  t.match(log.lines, [
    { level: 'error', endpoint: 'a.test', msg: /DNS does not say/ },
    { level: 'error', endpoint: 'b.test', msg: /does not exist/ },
  ])
  t.equal(log.lines.length, 2)
  t.same(names.take(), { found: 1, unknown: 1, down: 2 })
  t.same(names.take(), { found: 0, unknown: 0, down: 0 })
  t.end()
})

await test('with its DNS gone a proxy does not fill its log', t => {
  const clock = new FakeClock()
  const log = new LogLines()
  const names = new NameLog(clock, log.logger)
  for (let name = 0; name < 1_000; name += 1) names.answered(`${name}.test`, 'down', false)
  t.equal(log.lines.length, 10)
  clock.ms += 60_001
  names.answered('later.test', 'down', false)
  t.match(log.lines[10], { endpoint: 'later.test', unsaid: 990 })
  t.same(names.take(), { found: 0, unknown: 0, down: 1_001 })
  t.end()
})
