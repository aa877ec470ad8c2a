import { test } from 'tap'
import { rotated } from '../../../bench/isolation/run.ts'

await test('in each round another proxy comes first', t => {
  const proxies = ['amt', 'haproxy', 'envoy']
  const rounds = [0, 1, 2, 3].map(round => rotated(proxies, round))
  t.same(rounds, [
    ['amt', 'haproxy', 'envoy'],
    ['haproxy', 'envoy', 'amt'],
    ['envoy', 'amt', 'haproxy'],
    ['amt', 'haproxy', 'envoy'],
  ])
  t.same(rotated([], 2), [], 'every one of them has failed')
  t.end()
})
