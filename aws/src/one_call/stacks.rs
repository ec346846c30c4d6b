//! CloudFormation's `DescribeStacks`.

use super::Call;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;

/// Describes one stack, or all of a region.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>
pub(crate) const DESCRIBE_STACKS: Call<Vec<Description>> = Call {
    service: "CloudFormation",
    host: "cloudformation",
    operation: "DescribeStacks",
    headers: &[("content-type", "application/x-www-form-urlencoded")],
    reply: descriptions,
    refusal,
};

/// A stack as CloudFormation describes it; what is not said is empty.
#[derive(Debug, Default)]
pub(crate) struct Description {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) outputs: BTreeMap<String, String>,
}

/// Returns the body of a request for the description of one stack, or of all.
pub(crate) fn asking_for(name: Option<&str>) -> String {
    let named = |name| format!("&StackName={}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    format!("Action=DescribeStacks&Version=2010-05-15{}", name.map_or(String::new(), named))
}

/// Reads the reply: `DescribeStacksResponse`, in it `DescribeStacksResult`, `Stacks`, and a `member` for each.
fn descriptions(body: &[u8]) -> Result<Vec<Description>, BoxError> {
    let (mut document, mut found) = (Document::try_from(body)?, vec![]);
    let mut root = document.root_element()?;
    if !root.start_el().matches("DescribeStacksResponse") {
        return Err(format!("the reply is {:?}, and no DescribeStacksResponse", root.start_el().local()).into());
    }
    // The decoder takes the end of what there is for the end of each element.
    if !body.trim_ascii_end().ends_with(b"</DescribeStacksResponse>") {
        return Err("the reply ends in its middle".into());
    }
    while let Some(mut result) = root.next_tag() {
        while let Some(mut stacks) = result.next_tag() {
            if stacks.start_el().matches("Stacks") {
                while let Some(member) = stacks.next_tag() {
                    found.push(description(member)?);
                }
            }
        }
    }
    Ok(found)
}

fn description(mut member: ScopedDecoder<'_, '_>) -> Result<Description, XmlDecodeError> {
    let mut stack = Description::default();
    while let Some(mut tag) = member.next_tag() {
        match tag.start_el().local() {
            "StackId" => stack.id = try_data(&mut tag)?.into_owned(),
            "StackName" => stack.name = try_data(&mut tag)?.into_owned(),
            "StackStatus" => stack.status = try_data(&mut tag)?.into_owned(),
            "StackStatusReason" => stack.reason = Some(try_data(&mut tag)?.into_owned()),
            "Outputs" => {
                while let Some(mut output) = tag.next_tag() {
                    let (mut key, mut value) = (None, None);
                    while let Some(mut part) = output.next_tag() {
                        match part.start_el().local() {
                            "OutputKey" => key = Some(try_data(&mut part)?.into_owned()),
                            "OutputValue" => value = Some(try_data(&mut part)?.into_owned()),
                            _ => {}
                        }
                    }
                    stack.outputs.extend(key.zip(value));
                }
            }
            _ => {}
        }
    }
    Ok(stack)
}

/// Reads `ErrorResponse`, in it `Error`, `Code` and `Message`.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html>
fn refusal(body: &[u8]) -> Result<ErrorMetadata, BoxError> {
    let (mut document, mut said) = (Document::try_from(body)?, ErrorMetadata::builder());
    let mut root = document.root_element()?;
    while let Some(mut tag) = root.next_tag() {
        while let Some(mut part) = tag.next_tag() {
            match part.start_el().local() {
                "Code" => said = said.code(try_data(&mut part)?),
                "Message" => said = said.message(try_data(&mut part)?),
                _ => {}
            }
        }
    }
    Ok(said.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_read_as_cloudformation_describes_them() {
        let body = "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
            <DescribeStacksResult><Stacks>\
            <member><StackId>arn:aws:cloudformation:eu-west-1:123456789012:stack/a/1</StackId><StackName>a</StackName>\
            <StackStatus>ROLLBACK_COMPLETE</StackStatus><StackStatusReason>R &amp; D &lt;3&gt;</StackStatusReason>\
            <Parameters><member><ParameterKey>OutputKey</ParameterKey></member></Parameters>\
            <Outputs><member><Description>of no use</Description><OutputKey>Wire</OutputKey><OutputValue>9</OutputValue>\
            </member><member><OutputKey>Empty</OutputKey><OutputValue/></member><member><OutputKey>None</OutputKey></member>\
            </Outputs><Tags/></member><member><StackName>b</StackName></member>\
            </Stacks><NextToken>more</NextToken></DescribeStacksResult><ResponseMetadata/></DescribeStacksResponse>";
        let [a, b] = <[Description; 2]>::try_from(descriptions(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(a.id, "arn:aws:cloudformation:eu-west-1:123456789012:stack/a/1");
        assert_eq!(
            (a.name.as_str(), a.status.as_str(), a.reason.as_deref()),
            ("a", "ROLLBACK_COMPLETE", Some("R & D <3>"))
        );
        let pairs = [("Wire", "9"), ("Empty", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(a.outputs, BTreeMap::from(pairs));
        assert_eq!((b.name.as_str(), b.status.as_str(), b.outputs.len()), ("b", "", 0));
        for end in [0, 30, 200, body.len() - 40] {
            assert!(descriptions(&body.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(descriptions(b"<html><body>proxy</body></html>").unwrap_err().to_string().contains("\"html\""));
        assert!(descriptions(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn what_cloudformation_refuses_has_its_code_and_message() {
        let body =
            b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>no &quot;x&quot;</Message>\
            </Error><RequestId>1</RequestId></ErrorResponse>";
        let said = refusal(body).unwrap();
        assert_eq!((said.code(), said.message()), (Some("ValidationError"), Some("no \"x\"")));
        assert!(refusal(b"Bad Gateway").is_err());
        assert_eq!(asking_for(Some("a b&c")), "Action=DescribeStacks&Version=2010-05-15&StackName=a%20b%26c");
    }
}
