//! Choosing the rule that strikes a request: counting, without any I/O.

use super::{Request, Rule, Service, Strike};
use percent_encoding::percent_decode_str;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rules in force, with their counters.
#[derive(Debug, Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    counts: Vec<(AtomicU64, AtomicU64)>,
}

impl Plan {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let counts = rules.iter().map(|_| Default::default()).collect();
        Self { rules, counts }
    }

    /// Returns whether a rule could match a request of this service and operation, whatever the rule asks of its content.
    pub(super) fn concerns(&self, service: Service, operation: &str) -> bool {
        self.rules.iter().any(|rule| rule.is_for(service, operation))
    }

    /// Returns what is done to the request, if anything.
    pub(super) fn decide(&self, request: &Request) -> Option<Strike> {
        let mut chosen = None;
        for (rule, (seen, fired)) in self.rules.iter().zip(&self.counts) {
            if !rule.is_for(request.service, &request.operation) || !rule.is_in(request) {
                continue;
            }
            // Every rule counts every match, even one that an earlier rule has struck, so that its sequence depends on no
            // other rule.
            let sequence = seen.fetch_add(1, Relaxed);
            if chosen.is_none()
                && sequence >= rule.skip
                && fired.fetch_update(Relaxed, Relaxed, |n| (n < rule.budget).then_some(n + 1)).is_ok()
            {
                chosen = Some(rule.strike.clone());
            }
        }
        chosen
    }

    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        self.counts.iter().map(|(seen, fired)| (seen.load(Relaxed), fired.load(Relaxed))).collect()
    }
}

impl Rule {
    fn is_for(&self, service: Service, operation: &str) -> bool {
        self.service == service && self.operation.as_deref().is_none_or(|wanted| wanted == operation)
    }

    fn is_in(&self, request: &Request) -> bool {
        self.contains.as_deref().is_none_or(|text| {
            request.target.contains(text)
                || percent_decode_str(&request.target).decode_utf8_lossy().contains(text)
                || request.body.contains(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: &str, target: &str) -> Request {
        let (operation, target) = (operation.to_owned(), target.to_owned());
        Request { service: Service::S3, operation, target, body: String::new() }
    }

    #[test]
    fn a_rule_keeps_to_its_requests_its_place_and_its_budget() {
        let plan = Plan::new(vec![
            Rule::s3("PutObject").containing("a b").after(1).times(1).does(Strike::LoseReply),
            Rule::s3("PutObject").times(2).does(Strike::LoseRequest),
            Rule::any(Service::S3).after(3).times(u64::MAX).does(Strike::HalfBody),
            Rule::any(Service::DynamoDb).does(Strike::HoldAfter),
        ]);
        let struck = [("PutObject", "/k/a%20b"), ("PutObject", "/k/a%20b"), ("PutObject", "/x"), ("GetObject", "/x")]
            .map(|(operation, target)| plan.decide(&request(operation, target)));
        let expected = [Strike::LoseRequest, Strike::LoseReply, Strike::LoseRequest, Strike::HalfBody];
        assert_eq!(struck, expected.map(Some));
        assert_eq!(plan.counts(), [(2, 1), (3, 2), (4, 1), (0, 0)]);
        assert!(plan.concerns(Service::DynamoDb, "any"));
    }
}
